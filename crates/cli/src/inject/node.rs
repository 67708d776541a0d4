//! A YAML text as a tree whose parts know where they stand.

use std::collections::BTreeMap;

use granit_parser::{
    Event, Parser, ScalarStyle, ScanError, Span, StrInput, StructureStyle, Tag, options,
};
use serde_json::{Map, Value};

use super::error::Problem;
use crate::manifest::scalar;

/// Deeper than any manifest, and not too deep for a stack.
const DEEPEST: usize = 100;

/// Aliases multiply what stands in a file: ten lines can ask for a billion values.
const MOST_VALUES: usize = 1_000_000;

/// A value in the text.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) kind: Kind,
    /// In bytes.
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) line: usize,
    anchor: usize,
}

/// What it is.
#[derive(Debug)]
pub(super) enum Kind {
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
pub(super) struct Entry {
    pub(super) key: Node,
    pub(super) value: Node,
}

/// The root of each document.
pub(super) fn read(yaml: &str) -> Result<Vec<Node>, Problem> {
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
    pub(super) fn entry(&self, name: &str) -> Option<&Entry> {
        let Kind::Mapping { entries, .. } = &self.kind else {
            return None;
        };
        entries
            .iter()
            .find(|entry| matches!(&entry.key.kind, Kind::Scalar { text, .. } if text == name))
    }

    /// The value of a mapping's entry.
    pub(super) fn get(&self, name: &str) -> Option<&Self> {
        self.entry(name).map(|entry| &entry.value)
    }

    /// The items of a list.
    pub(super) fn items(&self) -> &[Self] {
        match &self.kind {
            Kind::Sequence { items, .. } => items,
            _ => &[],
        }
    }

    /// Is it between brackets?
    pub(super) fn is_flow(&self) -> bool {
        matches!(
            self.kind,
            Kind::Sequence { flow: true, .. } | Kind::Mapping { flow: true, .. }
        )
    }

    /// Does nothing stand there, or a null?
    pub(super) fn is_null(&self) -> bool {
        matches!(&self.kind, Kind::Scalar { text, style: ScalarStyle::Plain, tag: None }
            if matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL"))
    }

    /// Where what it holds ends. A block has no end of its own: it ends with its last value.
    pub(super) fn content_end(&self) -> usize {
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
    pub(super) fn value(&self) -> Result<Value, Problem> {
        let mut values = Values {
            anchors: BTreeMap::new(),
            left: MOST_VALUES,
        };
        values.of(self)
    }
}

impl Entry {
    /// Where it ends. A value that is not there stands wherever the parser noticed.
    pub(super) fn content_end(&self) -> usize {
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

struct Values {
    anchors: BTreeMap<usize, Value>,
    left: usize,
}

impl Values {
    fn of(&mut self, node: &Node) -> Result<Value, Problem> {
        let value = match &node.kind {
            Kind::Scalar { text, style, tag } => match tag {
                None => scalar::resolve(text, *style),
                Some(tag) => scalar::resolve_tagged(text, tag),
            }
            .map_err(|reason| Problem::at(node.line, reason))?,
            Kind::Alias(anchor) => {
                let there = self.anchors.get(anchor).cloned();
                there.ok_or_else(|| Problem::at(node.line, "the alias stands in its own anchor"))?
            }
            Kind::Sequence { items, .. } => {
                let items: Result<_, _> = items.iter().map(|item| self.of(item)).collect();
                Value::Array(items?)
            }
            Kind::Mapping { entries, .. } => Value::Object(self.mapping(entries)?),
        };
        let cost = match node.kind {
            Kind::Alias(_) => count(&value),
            _ => 1,
        };
        self.left = self.left.checked_sub(cost).ok_or_else(|| {
            Problem::at(
                node.line,
                format!("more than {MOST_VALUES} values; expected a manifest"),
            )
        })?;
        if node.anchor != 0 {
            self.anchors.insert(node.anchor, value.clone());
        }
        Ok(value)
    }

    fn mapping(&mut self, entries: &[Entry]) -> Result<Map<String, Value>, Problem> {
        let mut fields = Map::new();
        let mut merged = Map::new();
        for Entry { key, value } in entries {
            let line = key.line;
            let is_merge = matches!(&key.kind, Kind::Scalar { text, style: ScalarStyle::Plain, tag: None } if text == "<<");
            let name = match self.of(key)? {
                Value::String(text) => text,
                Value::Number(number) => number.to_string(),
                Value::Bool(truth) => truth.to_string(),
                _ => return Err(Problem::at(line, "a key that is no text; expected a name")),
            };
            let value = self.of(value)?;
            if is_merge {
                merge(&mut merged, value, line)?;
            } else if fields.insert(name.clone(), value).is_some() {
                return Err(Problem::at(
                    line,
                    format!("{name} stands twice; expected it once"),
                ));
            }
        }
        merged.extend(fields);
        Ok(merged)
    }
}

fn merge(fields: &mut Map<String, Value>, value: Value, line: usize) -> Result<(), Problem> {
    let several = match value {
        Value::Array(several) => several,
        one => vec![one],
    };
    for value in several.into_iter().rev() {
        let Value::Object(merged) = value else {
            return Err(Problem::at(line, "<< of something that is no mapping"));
        };
        fields.extend(merged);
    }
    Ok(())
}

fn count(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(count).sum::<usize>(),
        Value::Object(fields) => 1 + fields.values().map(count).sum::<usize>(),
        _ => 1,
    }
}

impl Node {
    /// The text of a scalar.
    pub(super) fn text(&self) -> Option<&str> {
        match &self.kind {
            Kind::Scalar { text, .. } => Some(text),
            _ => None,
        }
    }
}
