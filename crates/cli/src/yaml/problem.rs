//! An error in a text.

use thiserror::Error;

/// An error in a text, with its line.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{line}: {reason}")]
pub struct Problem {
    /// The line, counted from 1.
    pub line: usize,
    /// What was found, and what was expected.
    pub reason: String,
}

impl Problem {
    pub(crate) fn at(line: usize, reason: impl Into<String>) -> Self {
        Self {
            line,
            reason: reason.into(),
        }
    }
}
