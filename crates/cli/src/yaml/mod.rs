//! A YAML text as a tree whose parts know where they stand, and what they say to kubectl: YAML 1.1 made JSON.
//!
//! Stricter than kubectl in one thing: a key that stands twice is refused. kubectl takes the last and says nothing.

mod problem;
mod scalar;
mod values;

use granit_parser::{
    Event, Parser, ScalarStyle, ScanError, Span, StrInput, StructureStyle, Tag, options,
};
use serde_json::Value;

pub use problem::Problem;
pub(crate) use scalar::resolve;

/// Deeper than any manifest, and not too deep for a stack.
const DEEPEST: usize = 100;

/// A value in the text.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) kind: Kind,
    /// In bytes.
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) line: usize,
    anchor: usize,
}

/// What it is.
#[derive(Debug)]
pub(crate) enum Kind {
    Scalar {
        text: String,
        style: ScalarStyle,
        tag: Option<String>,
    },
    Alias(usize),
    Sequence {
        flow: bool,
        items: Vec<Node>,
    },
    Mapping {
        flow: bool,
        entries: Vec<Entry>,
    },
}

/// A key and its value.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) key: Node,
    pub(crate) value: Node,
}

/// The root of each document.
pub(crate) fn read(yaml: &str) -> Result<Vec<Node>, Problem> {
    let mut reader = Reader {
        parser: Parser::new_from_str_with_options(yaml, options! { emit_comments: false }),
        depth: 0,
    };
    let mut documents = Vec::new();
    while let Some((event, _)) = reader.next()? {
        if matches!(event, Event::DocumentStart(..)) {
            documents.push(reader.node()?);
        }
    }
    Ok(documents)
}

impl Node {
    /// The entry of a mapping.
    pub(crate) fn entry(&self, name: &str) -> Option<&Entry> {
        let Kind::Mapping { entries, .. } = &self.kind else {
            return None;
        };
        entries
            .iter()
            .find(|entry| matches!(&entry.key.kind, Kind::Scalar { text, .. } if text == name))
    }

    /// The value of a mapping's entry.
    pub(crate) fn get(&self, name: &str) -> Option<&Self> {
        self.entry(name).map(|entry| &entry.value)
    }

    /// The items of a list.
    pub(crate) fn items(&self) -> &[Self] {
        match &self.kind {
            Kind::Sequence { items, .. } => items,
            _ => &[],
        }
    }

    /// Is it between brackets?
    pub(crate) fn is_flow(&self) -> bool {
        matches!(
            self.kind,
            Kind::Sequence { flow: true, .. } | Kind::Mapping { flow: true, .. }
        )
    }

    /// Does nothing stand there, or a null?
    pub(crate) fn is_null(&self) -> bool {
        matches!(&self.kind, Kind::Scalar { text, style: ScalarStyle::Plain, tag: None }
            if matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL"))
    }

    /// Where what it holds ends. A block has no end of its own: it ends with its last value.
    pub(crate) fn content_end(&self) -> usize {
        match &self.kind {
            Kind::Sequence { flow: false, items } => items
                .last()
                .map_or(self.start, |item| item.content_end().max(item.start)),
            Kind::Mapping {
                flow: false,
                entries,
            } => entries.last().map_or(self.start, Entry::content_end),
            _ => self.end,
        }
    }

    /// As kubectl reads it, with aliases and merges in place.
    pub(crate) fn value(&self) -> Result<Value, Problem> {
        values::of(self)
    }

    /// The text of a scalar.
    pub(crate) fn text(&self) -> Option<&str> {
        match &self.kind {
            Kind::Scalar { text, .. } => Some(text),
            _ => None,
        }
    }
}

impl Entry {
    /// Where it ends. A value that is not there stands wherever the parser noticed.
    pub(crate) fn content_end(&self) -> usize {
        if self.value.start == self.value.end && !self.value.is_collection() {
            return self.key.end;
        }
        self.value.content_end().max(self.key.end)
    }
}

impl Node {
    fn is_collection(&self) -> bool {
        matches!(self.kind, Kind::Sequence { .. } | Kind::Mapping { .. })
    }
}

struct Reader<'a> {
    parser: Parser<'a, StrInput<'a>>,
    depth: usize,
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> Result<Option<(Event<'a>, Span)>, Problem> {
        let event = self.parser.next_event().transpose();
        event.map_err(|error: ScanError| {
            Problem::at(
                error.marker().line(),
                format!("this is no YAML: {}", error.info()),
            )
        })
    }

    fn node(&mut self) -> Result<Node, Problem> {
        match self.next()? {
            Some((event, span)) => self.node_of(event, span),
            None => Err(Problem::at(1, "this is no YAML: it ends too early")),
        }
    }

    fn node_of(&mut self, event: Event<'a>, span: Span) -> Result<Node, Problem> {
        let line = span.start.line();
        let range = span.byte_range().unwrap_or_default();
        let mut node = Node {
            kind: Kind::Alias(0),
            start: range.start,
            end: range.end,
            line,
            anchor: 0,
        };
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                node.anchor = anchor;
                node.kind = Kind::Scalar {
                    text: text.into_owned(),
                    style,
                    tag: tag.map(|tag| name_of(&tag)),
                };
            }
            Event::Alias(anchor) => node.kind = Kind::Alias(anchor),
            Event::SequenceStart(style, anchor, _) => {
                node.anchor = anchor;
                let flow = style == StructureStyle::Flow;
                let mut items = Vec::new();
                node.end = self.collection(line, Event::SequenceEnd, |reader, event, span| {
                    items.push(reader.node_of(event, span)?);
                    Ok(())
                })?;
                node.kind = Kind::Sequence { flow, items };
            }
            Event::MappingStart(style, anchor, _) => {
                node.anchor = anchor;
                let flow = style == StructureStyle::Flow;
                let mut entries = Vec::new();
                node.end = self.collection(line, Event::MappingEnd, |reader, event, span| {
                    let key = reader.node_of(event, span)?;
                    let value = reader.node()?;
                    entries.push(Entry { key, value });
                    Ok(())
                })?;
                node.kind = Kind::Mapping { flow, entries };
            }
            _ => return Err(Problem::at(line, "this is no YAML: a value is missing")),
        }
        Ok(node)
    }

    /// Reads until the end, and says where that is.
    fn collection(
        &mut self,
        line: usize,
        end: Event<'a>,
        mut each: impl FnMut(&mut Self, Event<'a>, Span) -> Result<(), Problem>,
    ) -> Result<usize, Problem> {
        self.depth += 1;
        if self.depth > DEEPEST {
            let reason = format!("more than {DEEPEST} levels; expected a manifest");
            return Err(Problem::at(line, reason));
        }
        while let Some((event, span)) = self.next()? {
            if event == end {
                self.depth -= 1;
                return Ok(span.byte_range().unwrap_or_default().end);
            }
            each(self, event, span)?;
        }
        Err(Problem::at(line, "this is no YAML: it ends too early"))
    }
}

/// The tag's name, such as `str`, if it is one of YAML's own.
fn name_of(tag: &Tag) -> String {
    match tag.parts() {
        ("tag:yaml.org,2002:", suffix) => suffix.to_owned(),
        _ => String::new(),
    }
}
