//! What can be wrong with a file of recorded cases.

use std::io;

use thiserror::Error;

/// Why a case cannot be read or decided.
#[derive(Debug, Error)]
pub enum CaseError {
    /// The file ended too early, or is no text.
    #[error("line {line} cannot be read: {source}")]
    Unreadable {
        /// From 1.
        line: usize,
        /// What the system says.
        source: io::Error,
    },
    /// A line is not a case.
    #[error("line {line}: {field}: {problem}; tests/conformance/README.md describes the format")]
    Format {
        /// From 1.
        line: usize,
        /// The path of the field, such as `steps[3].pods[0].phase`.
        field: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The fields contradict each other.
    #[error("line {line} ({case}): {field}: {problem}")]
    Meaning {
        /// From 1; 0 if the case comes from no file.
        line: usize,
        /// Its name.
        case: String,
        /// The path of the field, such as `steps[3].policy`.
        field: String,
        /// What is wrong with it, and what it should be.
        problem: String,
    },
}
