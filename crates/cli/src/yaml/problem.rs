//! What is wrong with a text.

use thiserror::Error;

/// What is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{line}: {reason}")]
pub struct Problem {
    /// Counted from 1.
    pub line: usize,
    /// What stands there, and what was expected.
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
