//! Errors in a file of recorded cases.

use std::io;

use thiserror::Error;

/// Why a case cannot be read or replayed.
#[derive(Debug, Error)]
#[expect(missing_docs, reason = "each variant's message describes it")]
pub enum CaseError {
    /// The file ended too early, or is not text.
    #[error("failed to read line {line}")]
    Unreadable {
        /// The line, counted from 1.
        line: usize,
        source: io::Error,
    },
    #[error("line {line}: {field}: {problem}")]
    Format {
        /// The line, counted from 1.
        line: usize,
        /// The path of the field, such as `steps[3].pods[0].phase`.
        field: String,
        problem: String,
    },
    #[error("line {line} ({case}): {field}: {problem}")]
    Meaning {
        /// The line, counted from 1; 0 without a file.
        line: usize,
        case: String,
        /// The path of the field, such as `steps[3].policy`.
        field: String,
        problem: String,
    },
}
