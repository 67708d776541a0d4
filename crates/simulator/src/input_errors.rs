//! The errors in an input file or in options, all at once.

use std::fmt;

use thiserror::Error;

/// Maximum number of displayed errors. Further errors are only counted.
const MAX_DISPLAYED: usize = 20;

/// One error in the input.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{location}: {problem}")]
pub struct InputError {
    /// A file and a line, or an option.
    pub location: String,
    /// What is wrong, and what was expected.
    pub problem: String,
}

/// All errors in the input; never empty. `Display` writes a line for each.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub struct InputErrors(pub Vec<InputError>);

impl InputErrors {
    pub(crate) fn one(location: impl Into<String>, problem: impl Into<String>) -> Self {
        let mut errors = Self(Vec::new());
        errors.add(location, problem);
        errors
    }

    pub(crate) fn add(&mut self, location: impl Into<String>, problem: impl Into<String>) {
        self.0.push(InputError {
            location: location.into(),
            problem: problem.into(),
        });
    }

    /// Sorts by file, in order of appearance, and by line.
    pub(crate) fn sort(&mut self) {
        let file = |error: &InputError| split(&error.location).0.to_owned();
        let mut files: Vec<String> = Vec::new();
        for found in self.0.iter().map(file) {
            if !files.contains(&found) {
                files.push(found);
            }
        }
        self.0.sort_by_key(|error| {
            let (file, line) = split(&error.location);
            (files.iter().position(|known| known == file), line)
        });
    }
}

/// Splits a location into its file and line; 0 if it has no line.
fn split(location: &str) -> (&str, usize) {
    let split = location.rsplit_once(':');
    split
        .and_then(|(file, line)| Some((file, line.parse().ok()?)))
        .unwrap_or((location, 0))
}

impl fmt::Display for InputErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().take(MAX_DISPLAYED).enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{error}")?;
        }
        match self.0.len().saturating_sub(MAX_DISPLAYED) {
            0 => Ok(()),
            more => write!(f, "\n… and {more} more"),
        }
    }
}
