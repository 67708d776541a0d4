//! The text of a manifest: YAML as kubectl reads it, which is YAML 1.1 made JSON.
//!
//! Stricter than kubectl in one thing: a key that stands twice is refused. kubectl takes the last and says nothing.

pub(crate) mod scalar;
mod tree;

use std::collections::BTreeMap;

use granit_parser::{Event, Parser, ScanError, Span, options};
use serde_json::{Map, Value};

use super::error::ManifestError;
use tree::Tree;

/// The one object of a manifest.
#[derive(Debug)]
pub(super) struct Document {
    pub(super) object: Map<String, Value>,
    line: usize,
    lines: BTreeMap<String, usize>,
}

impl Document {
    /// Where a field of the object stands; where the object begins if there is none.
    pub(super) fn line_of(&self, key: &str) -> usize {
        self.lines.get(key).copied().unwrap_or(self.line)
    }
}

/// Reads a manifest of one object.
pub(super) fn read(yaml: &str) -> Result<Document, ManifestError> {
    let mut events = Events::of(yaml);
    let mut found: Option<Document> = None;
    while let Some((event, line)) = events.next()? {
        if !matches!(event, Event::DocumentStart(..)) {
            continue;
        }
        let Some(document) = read_document(&mut events, line)? else {
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
    found.ok_or_else(|| ManifestError::text(1, "there is no object; expected one"))
}

/// The object of a document that begins in this line. kubectl passes over empty documents.
fn read_document(events: &mut Events, line: usize) -> Result<Option<Document>, ManifestError> {
    let mut tree = Tree::new(events);
    let (value, begins) = tree.read(line)?;
    match value {
        Value::Null => Ok(None),
        Value::Object(object) => Ok(Some(Document {
            object,
            line: begins,
            lines: tree.lines(),
        })),
        Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => Err(
            ManifestError::text(begins, "this is no object; expected one: apiVersion: …"),
        ),
    }
}

/// The events of a parser, each with its line.
struct Events<'a> {
    parser: Parser<'a, granit_parser::StrInput<'a>>,
}

impl<'a> Events<'a> {
    fn of(yaml: &'a str) -> Self {
        let options = options! { emit_comments: false };
        Self {
            parser: Parser::new_from_str_with_options(yaml, options),
        }
    }

    fn next(&mut self) -> Result<Option<(Event<'a>, usize)>, ManifestError> {
        self.parser
            .next_event()
            .transpose()
            .map(|event| event.map(|(event, span): (Event<'a>, Span)| (event, span.start.line())))
            .map_err(|error: ScanError| {
                ManifestError::text(
                    error.marker().line(),
                    format!("this is no YAML: {}", error.info()),
                )
            })
    }
}
