//! What is wrong with a file.

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
    pub(super) fn at(line: usize, reason: impl Into<String>) -> Self {
        Self {
            line,
            reason: reason.into(),
        }
    }
}

/// The text is so that nothing can be put into it; the document is written anew.
#[derive(Clone, Copy, Debug)]
pub(super) struct NotAsText;
