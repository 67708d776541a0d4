//! Why a manifest or a definition is rejected.

use std::fmt;

use thiserror::Error;

use super::go;
use super::problem::Problem;

/// Why a CustomResourceDefinition cannot be used here. This is a bug of this program: tests read the shipped one.
#[derive(Debug, Error)]
pub enum DefinitionError {
    /// A required part is missing or has another type.
    #[error("failed to read the definition")]
    Parse(#[source] serde_json::Error),
    /// No version is served.
    #[error("the definition serves no version")]
    NoVersion,
    /// The schema has something that is not validated here.
    #[error("unsupported part of the definition: {0}")]
    Unsupported(String),
}

/// Why a manifest is rejected.
#[derive(Debug, Error)]
#[expect(missing_docs, reason = "each variant's message describes it")]
pub enum ManifestError {
    /// The text is not YAML, or not one object of the kind. The words are ours.
    #[error("line {line}: {reason}")]
    Text {
        /// The line, counted from 1.
        line: usize,
        reason: String,
    },
    /// kubectl would not send the object, or the API server would not decode it. The words are theirs, without the
    /// file name.
    #[error("{0}")]
    Undecodable(String),
    #[error("The {kind} {} is invalid: {}", go::quoted(name), Causes(.causes))]
    Invalid {
        kind: String,
        name: String,
        /// One sentence per error, starting with the field's path.
        causes: Vec<String>,
    },
    #[error("the API server accepts this, but it cannot be read as a PushScaler")]
    Unreadable(#[source] serde_json::Error),
    #[error(transparent)]
    Definition(#[from] DefinitionError),
}

impl ManifestError {
    pub(super) fn text(line: usize, reason: impl Into<String>) -> Self {
        Self::Text {
            line,
            reason: reason.into(),
        }
    }

    /// Lists each error once: kubectl omits repetitions.
    pub(super) fn invalid(kind: &str, name: String, problems: Vec<Problem>) -> Self {
        let mut causes: Vec<String> = Vec::new();
        for problem in problems {
            if !causes.contains(&problem.text) {
                causes.push(problem.text);
            }
        }
        Self::Invalid {
            kind: kind.to_owned(),
            name,
            causes,
        }
    }
}

/// Prints one cause on the same line, several as a list below it.
struct Causes<'a>(&'a [String]);

impl fmt::Display for Causes<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            [only] => formatter.write_str(only),
            several => several
                .iter()
                .try_for_each(|cause| write!(formatter, "\n* {cause}")),
        }
    }
}
