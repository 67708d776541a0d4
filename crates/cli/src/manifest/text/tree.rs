//! The values of one document.

use std::collections::BTreeMap;

use granit_parser::{Event, Tag};
use serde_json::{Map, Value};

use super::super::error::ManifestError;
use super::{Events, scalar};

/// Aliases multiply what stands in a file: ten lines can ask for a billion values.
const MOST_VALUES: usize = 100_000;

/// Builds values from events.
pub(super) struct Tree<'e, 'a> {
    events: &'e mut Events<'a>,
    anchors: BTreeMap<usize, Value>,
    values: usize,
    /// Where the keys of the outermost mapping stand.
    lines: BTreeMap<String, usize>,
    depth: usize,
}

impl<'e, 'a> Tree<'e, 'a> {
    pub(super) fn new(events: &'e mut Events<'a>) -> Self {
        Self {
            events,
            anchors: BTreeMap::new(),
            values: 0,
            lines: BTreeMap::new(),
            depth: 0,
        }
    }

    pub(super) fn lines(self) -> BTreeMap<String, usize> {
        self.lines
    }

    /// The next value, and where it begins.
    pub(super) fn read(&mut self, line: usize) -> Result<(Value, usize), ManifestError> {
        let Some((event, line)) = self.events.next()? else {
            return Ok((Value::Null, line));
        };
        Ok((self.value_of(event, line)?, line))
    }

    fn value_of(&mut self, event: Event<'a>, line: usize) -> Result<Value, ManifestError> {
        let (value, anchor) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                let resolved = match &tag {
                    None => scalar::resolve(&text, style),
                    Some(tag) => scalar::resolve_tagged(&text, name_of(tag)),
                };
                (
                    resolved.map_err(|reason| ManifestError::text(line, reason))?,
                    anchor,
                )
            }
            Event::SequenceStart(_, anchor, _) => (Value::Array(self.sequence()?), anchor),
            Event::MappingStart(_, anchor, _) => (Value::Object(self.mapping()?), anchor),
            Event::Alias(anchor) => match self.anchors.get(&anchor) {
                Some(value) => {
                    self.values += count(value);
                    (value.clone(), 0)
                }
                None => {
                    return Err(ManifestError::text(
                        line,
                        "the alias stands in its own anchor",
                    ));
                }
            },
            _ => (Value::Null, 0),
        };
        self.values += 1;
        if self.values > MOST_VALUES {
            let reason = format!("more than {MOST_VALUES} values; expected one object");
            return Err(ManifestError::text(line, reason));
        }
        if anchor != 0 {
            self.anchors.insert(anchor, value.clone());
        }
        Ok(value)
    }

    fn sequence(&mut self) -> Result<Vec<Value>, ManifestError> {
        let mut items = Vec::new();
        self.depth += 1;
        while let Some((event, line)) = self.events.next()? {
            if event == Event::SequenceEnd {
                break;
            }
            items.push(self.value_of(event, line)?);
        }
        self.depth -= 1;
        Ok(items)
    }

    fn mapping(&mut self) -> Result<Map<String, Value>, ManifestError> {
        let mut fields = Map::new();
        let mut lines: BTreeMap<String, usize> = BTreeMap::new();
        self.depth += 1;
        while let Some((event, line)) = self.events.next()? {
            if event == Event::MappingEnd {
                break;
            }
            let is_merge = matches!(&event, Event::Scalar(text, style, _, None)
                if text == "<<" && *style == granit_parser::ScalarStyle::Plain);
            let key = key_of(self.value_of(event, line)?, line)?;
            let (value, _) = self.read(line)?;
            if is_merge {
                merge(&mut fields, value, line)?;
                continue;
            }
            if let Some(before) = lines.insert(key.clone(), line) {
                let reason = format!(
                    "{key} stands in line {before} already; expected it once (kubectl takes the last without a word)"
                );
                return Err(ManifestError::text(line, reason));
            }
            fields.insert(key, value);
        }
        self.depth -= 1;
        if self.depth == 0 {
            self.lines = lines;
        }
        Ok(fields)
    }
}

/// The tag's name, such as `str`, if it is one of YAML's own.
fn name_of(tag: &Tag) -> &str {
    match tag.parts() {
        ("tag:yaml.org,2002:", suffix) => suffix,
        _ => "",
    }
}

fn key_of(key: Value, line: usize) -> Result<String, ManifestError> {
    match key {
        Value::String(text) => Ok(text),
        Value::Number(number) => Ok(number.to_string()),
        Value::Bool(truth) => Ok(truth.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => Err(ManifestError::text(
            line,
            "a key that is no text; expected a name",
        )),
    }
}

/// `<<: value` puts the fields of the value, or of each in a list, among those of the mapping. As in go-yaml what
/// stands later wins, and in a list what stands earlier.
fn merge(fields: &mut Map<String, Value>, value: Value, line: usize) -> Result<(), ManifestError> {
    let several = match value {
        Value::Array(several) => several,
        one => vec![one],
    };
    for value in several.into_iter().rev() {
        let Value::Object(merged) = value else {
            return Err(ManifestError::text(
                line,
                "<< of something that is no mapping",
            ));
        };
        fields.extend(merged);
    }
    Ok(())
}

/// How many values an alias adds.
fn count(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(count).sum::<usize>(),
        Value::Object(fields) => 1 + fields.values().map(count).sum::<usize>(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 1,
    }
}
