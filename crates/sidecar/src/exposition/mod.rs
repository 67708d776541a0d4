//! The Prometheus text format 0.0.4.
//!
//! Copies nothing and allocates nothing but the values of labels that hold an escape. A line that is not of the
//! format is told apart from the others and costs none of them.

mod labels;
mod line;
mod text;

pub use labels::Labels;
pub use line::{BadLine, Sample};

/// The lines of a page that say something: samples and complaints. Blank lines and comments (HELP, TYPE and
/// any other) say nothing that we read.
#[derive(Clone, Debug)]
pub struct Lines<'a> {
    rest: &'a [u8],
    number: usize,
}

/// Reads a page.
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
            // Half of a page are comments: they are passed over by the search for the line's end alone.
            let (line, rest) = match memchr::memchr(b'\n', self.rest) {
                Some(end) => (&self.rest[..end], &self.rest[end + 1..]),
                None => (self.rest, &self.rest[self.rest.len()..]),
            };
            self.rest = rest;
            self.number += 1;
            if line.first() == Some(&b'#') {
                continue;
            }
            match line::read(line, self.number) {
                Ok(None) => {}
                Ok(Some(sample)) => return Some(Ok(sample)),
                Err(bad) => return Some(Err(bad)),
            }
        }
        None
    }
}
