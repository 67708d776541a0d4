//! Errors in a file of recorded cases.

use std::io;

use thiserror::Error;

/// Why a case cannot be read or replayed.
#[derive(Debug, Error)]
pub enum CaseError {
    /// The file ended too early, or is not text.
    #[error("failed to read line {line}")]
    Unreadable {
        /// The line, counted from 1.
        line: usize,
        /// The error of the system.
        source: io::Error,
    },
    /// A line is not what was expected.
    #[error("line {line}: {field}: {problem}")]
    Format {
        /// The line, counted from 1.
        line: usize,
        /// The path of the field, such as `steps[3].pods[0].phase`.
        field: String,
        /// What is wrong.
        problem: String,
    },
    /// The fields contradict each other.
    #[error("line {line} ({case}): {field}: {problem}")]
    Meaning {
        /// The line, counted from 1; 0 without a file.
        line: usize,
        /// The case's name.
        case: String,
        /// The path of the field, such as `steps[3].policy`.
        field: String,
        /// What is wrong, and what is expected.
        problem: String,
    },
}
