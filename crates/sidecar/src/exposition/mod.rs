//! The Prometheus text format 0.0.4.
//!
//! The parser borrows from the page and allocates only label values with escapes. An invalid line is reported and does
//! not affect other lines.

mod labels;
mod line;
mod text;

pub use labels::Labels;
pub use line::{BadLine, Sample};

/// The samples and invalid lines of a page. Blank lines and comments, including HELP and TYPE, are skipped.
#[derive(Clone, Debug)]
pub struct Lines<'a> {
    rest: &'a [u8],
    number: usize,
}

/// Parses a page.
pub fn parse(page: &[u8]) -> Lines<'_> {
    Lines {
        rest: page,
        number: 0,
    }
}

impl<'a> Iterator for Lines<'a> {
    type Item = Result<Sample<'a>, BadLine>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.rest.is_empty() {
            // Half of a page is comments, which cost only the search for the end of the line.
            let (line, rest) = match memchr::memchr(b'\n', self.rest) {
                Some(end) => (&self.rest[..end], &self.rest[end + 1..]),
                None => (self.rest, &self.rest[self.rest.len()..]),
            };
            self.rest = rest;
            self.number += 1;
            if line.first() == Some(&b'#') {
                continue;
            }
            match line::parse(line, self.number) {
                Ok(None) => {}
                Ok(Some(sample)) => return Some(Ok(sample)),
                Err(bad) => return Some(Err(bad)),
            }
        }
        None
    }
}
