//! Reads the text of a manifest with one object.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::error::ManifestError;
use crate::yaml::{self, Kind, Node, Problem};

/// The object of a manifest, and the lines of its fields.
#[derive(Debug)]
pub(super) struct Document {
    pub(super) object: Map<String, Value>,
    line: usize,
    lines: BTreeMap<String, usize>,
}

impl Document {
    /// Returns the line of a field of the object, or of the object if it has no such field.
    pub(super) fn line_of(&self, key: &str) -> usize {
        self.lines.get(key).copied().unwrap_or(self.line)
    }
}

/// Reads a manifest with one object.
pub(super) fn read(yaml: &str) -> Result<Document, ManifestError> {
    let mut found: Option<Document> = None;
    for node in yaml::read(yaml)? {
        let Some(document) = document(&node)? else {
            continue;
        };
        if found.is_some() {
            return Err(ManifestError::text(
                document.line,
                "a second object begins here; expected one object",
            ));
        }
        found = Some(document);
    }
    found.ok_or_else(|| ManifestError::text(1, "no object found; expected one"))
}

/// Returns the object of a document; none if it is empty, which kubectl ignores.
fn document(node: &Node) -> Result<Option<Document>, ManifestError> {
    match yaml::value(node)? {
        Value::Null => Ok(None),
        Value::Object(object) => Ok(Some(Document {
            object,
            line: node.line,
            lines: lines(node),
        })),
        Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            let reason = "this is not an object; expected one: apiVersion: …";
            Err(ManifestError::text(node.line, reason))
        }
    }
}

/// Returns the lines of the keys of the outermost mapping.
fn lines(node: &Node) -> BTreeMap<String, usize> {
    let Kind::Mapping { entries, .. } = &node.kind else {
        return BTreeMap::new();
    };
    let keys = entries.iter().map(|entry| &entry.key);
    keys.filter_map(|key| Some((key.text()?.to_owned(), key.line)))
        .collect()
}

impl From<Problem> for ManifestError {
    fn from(problem: Problem) -> Self {
        Self::text(problem.line, problem.reason)
    }
}
