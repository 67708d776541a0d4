//! All that is wrong with what somebody wrote, at once.

use std::fmt;

use thiserror::Error;

/// Maximum mistakes reported per text; the rest is counted.
const TOLD: usize = 20;

/// One mistake.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{place}: {problem}")]
pub struct Mistake {
    /// Where: a file and a line, or an option.
    pub place: String,
    /// What is wrong, and what was expected.
    pub problem: String,
}

/// All that is wrong with what somebody wrote; never empty. `Display` has a line for each.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub struct Mistakes(pub Vec<Mistake>);

impl Mistakes {
    pub(crate) fn one(place: impl Into<String>, problem: impl Into<String>) -> Self {
        let mut mistakes = Self(Vec::new());
        mistakes.add(place, problem);
        mistakes
    }

    pub(crate) fn add(&mut self, place: impl Into<String>, problem: impl Into<String>) {
        self.0.push(Mistake {
            place: place.into(),
            problem: problem.into(),
        });
    }

    /// In the order of the lines of each file; files, and what is in no line, in the order in which they came.
    pub(crate) fn sort(&mut self) {
        let file = |mistake: &Mistake| split(&mistake.place).0.to_owned();
        let mut files: Vec<String> = Vec::new();
        for found in self.0.iter().map(file) {
            if !files.contains(&found) {
                files.push(found);
            }
        }
        self.0.sort_by_key(|mistake| {
            let (file, line) = split(&mistake.place);
            (files.iter().position(|known| known == file), line)
        });
    }
}

/// A file and a line in it; 0 if the place has none.
fn split(place: &str) -> (&str, usize) {
    let split = place.rsplit_once(':');
    split
        .and_then(|(file, line)| Some((file, line.parse().ok()?)))
        .unwrap_or((place, 0))
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, mistake) in self.0.iter().take(TOLD).enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{mistake}")?;
        }
        match self.0.len().saturating_sub(TOLD) {
            0 => Ok(()),
            more => write!(f, "\n… and {more} more"),
        }
    }
}
