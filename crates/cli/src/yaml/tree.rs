//! The tree of a YAML text.

use granit_parser::{
    Event, Parser, ScalarStyle, ScanError, Span, StrInput, StructureStyle, Tag, options,
};

use super::problem::Problem;

/// The maximum depth: more than any manifest has, and not too much for the stack.
const MAX_DEPTH: usize = 100;

/// A node of the tree.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) kind: Kind,
    /// Where it starts, in bytes.
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) line: usize,
    /// The anchor's number; 0 without one.
    pub(super) anchor: usize,
}

/// The kind of a node.
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

/// Parses a text and returns the root of each document.
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
    /// Returns the entry of a mapping by its key.
    pub(crate) fn entry(&self, name: &str) -> Option<&Entry> {
        let Kind::Mapping { entries, .. } = &self.kind else {
            return None;
        };
        entries
            .iter()
            .find(|entry| matches!(&entry.key.kind, Kind::Scalar { text, .. } if text == name))
    }

    /// Returns the value of a mapping's entry.
    pub(crate) fn get(&self, name: &str) -> Option<&Self> {
        self.entry(name).map(|entry| &entry.value)
    }

    /// Returns the items of a sequence.
    pub(crate) fn items(&self) -> &[Self] {
        match &self.kind {
            Kind::Sequence { items, .. } => items,
            _ => &[],
        }
    }

    /// Whether it is a collection in flow style.
    pub(crate) fn is_flow(&self) -> bool {
        matches!(
            self.kind,
            Kind::Sequence { flow: true, .. } | Kind::Mapping { flow: true, .. }
        )
    }

    /// Returns where its content ends. A block collection ends with its last value.
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

    /// Returns the text of a scalar.
    pub(crate) fn text(&self) -> Option<&str> {
        match &self.kind {
            Kind::Scalar { text, .. } => Some(text),
            _ => None,
        }
    }
}

impl Entry {
    /// Returns where it ends. The parser reports an absent value somewhere after the key.
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
            Problem::at(error.marker().line(), format!("not YAML: {}", error.info()))
        })
    }

    fn node(&mut self) -> Result<Node, Problem> {
        match self.next()? {
            Some((event, span)) => self.node_from(event, span),
            None => Err(Problem::at(1, "not YAML: unexpected end")),
        }
    }

    fn node_from(&mut self, event: Event<'a>, span: Span) -> Result<Node, Problem> {
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
                    tag: tag.map(|tag| tag_name(&tag)),
                };
            }
            Event::Alias(anchor) => node.kind = Kind::Alias(anchor),
            Event::SequenceStart(style, anchor, _) => {
                node.anchor = anchor;
                let flow = style == StructureStyle::Flow;
                let mut items = Vec::new();
                node.end = self.collection(line, Event::SequenceEnd, |reader, event, span| {
                    items.push(reader.node_from(event, span)?);
                    Ok(())
                })?;
                node.kind = Kind::Sequence { flow, items };
            }
            Event::MappingStart(style, anchor, _) => {
                node.anchor = anchor;
                let flow = style == StructureStyle::Flow;
                let mut entries = Vec::new();
                node.end = self.collection(line, Event::MappingEnd, |reader, event, span| {
                    let key = reader.node_from(event, span)?;
                    let value = reader.node()?;
                    entries.push(Entry { key, value });
                    Ok(())
                })?;
                node.kind = Kind::Mapping { flow, entries };
            }
            _ => return Err(Problem::at(line, "not YAML: a value is missing")),
        }
        Ok(node)
    }

    /// Reads the nodes of a collection and returns where it ends.
    fn collection(
        &mut self,
        line: usize,
        end: Event<'a>,
        mut each: impl FnMut(&mut Self, Event<'a>, Span) -> Result<(), Problem>,
    ) -> Result<usize, Problem> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            let reason = format!("more than {MAX_DEPTH} levels; expected a manifest");
            return Err(Problem::at(line, reason));
        }
        while let Some((event, span)) = self.next()? {
            if event == end {
                self.depth -= 1;
                return Ok(span.byte_range().unwrap_or_default().end);
            }
            each(self, event, span)?;
        }
        Err(Problem::at(line, "not YAML: unexpected end"))
    }
}

/// Returns the name of a standard tag, such as `str`, and an empty name for any other tag.
fn tag_name(tag: &Tag) -> String {
    match tag.parts() {
        ("tag:yaml.org,2002:", suffix) => suffix.to_owned(),
        _ => String::new(),
    }
}
