//! Why a manifest is refused.

use std::fmt;

use thiserror::Error;

use super::definition::DefinitionError;
use super::go;
use super::problem::Problem;

/// Why a manifest is refused.
#[derive(Debug, Error)]
pub enum ManifestError {
    /// It is no YAML, or nothing that this reads as one object. The words are ours.
    #[error("line {line}: {reason}")]
    Text {
        /// Where, counted from 1.
        line: usize,
        /// What stands there, and what was expected.
        reason: String,
    },
    /// kubectl would not send it. The words are kubectl's, without the file's name.
    #[error("{0}")]
    Undecodable(String),
    /// The API server does not know some of its fields.
    #[error(
        "{kind} in version {version:?} cannot be handled as a {kind}: strict decoding error: {}",
        Unknown(.fields)
    )]
    UnknownFields {
        /// The kind of object.
        kind: String,
        /// Its version, without the group.
        version: String,
        /// The path of each field.
        fields: Vec<String>,
    },
    /// The API server finds mistakes in its fields.
    #[error("The {kind} {} is invalid: {}", go::quoted(name), Causes(.causes))]
    Invalid {
        /// The kind of object.
        kind: String,
        /// The object's name.
        name: String,
        /// One sentence each, the field's path first.
        causes: Vec<String>,
    },
    /// The API server would take it.
    #[error("the API server takes this, but it cannot be read as a PushScaler: {0}")]
    Unreadable(#[source] serde_json::Error),
    /// A mistake of ours.
    #[error("{0}")]
    Definition(#[from] DefinitionError),
}

impl ManifestError {
    pub(super) fn text(line: usize, reason: impl Into<String>) -> Self {
        Self::Text {
            line,
            reason: reason.into(),
        }
    }

    /// The mistakes, each once: kubectl leaves repetitions out.
    pub(super) fn invalid(kind: &str, name: &str, problems: &[Problem]) -> Self {
        let mut causes: Vec<String> = Vec::new();
        for problem in problems {
            let cause = problem.to_string();
            if !causes.contains(&cause) {
                causes.push(cause);
            }
        }
        Self::Invalid {
            kind: kind.to_owned(),
            name: name.to_owned(),
            causes,
        }
    }
}

struct Unknown<'a>(&'a [String]);

impl fmt::Display for Unknown<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, field) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(formatter, "{comma}unknown field \"{field}\"")?;
        }
        Ok(())
    }
}

/// One mistake stands in the line, several below it.
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
