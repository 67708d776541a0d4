//! The values of a tree, with aliases and merges resolved.

use std::collections::BTreeMap;

use granit_parser::ScalarStyle;
use serde_json::{Map, Value};

use super::problem::Problem;
use super::scalar;
use super::tree::{Entry, Kind, Node};

/// The maximum number of values: with aliases, ten lines can describe a billion.
const MAX_VALUES: usize = 1_000_000;

/// Returns the value of a node, as kubectl reads it.
pub(crate) fn value(node: &Node) -> Result<Value, Problem> {
    let mut values = Values {
        anchors: BTreeMap::new(),
        left: MAX_VALUES,
    };
    values.value(node)
}

struct Values {
    anchors: BTreeMap<usize, Value>,
    left: usize,
}

impl Values {
    fn value(&mut self, node: &Node) -> Result<Value, Problem> {
        let value = match &node.kind {
            Kind::Scalar { text, style, tag } => match tag {
                None => scalar::resolve(text, *style),
                Some(tag) => scalar::resolve_tagged(text, tag),
            }
            .map_err(|reason| Problem::at(node.line, reason))?,
            Kind::Alias(anchor) => {
                let there = self.anchors.get(anchor).cloned();
                there.ok_or_else(|| Problem::at(node.line, "the alias is within its own anchor"))?
            }
            Kind::Sequence { items, .. } => {
                let items: Result<_, _> = items.iter().map(|item| self.value(item)).collect();
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
                format!("more than {MAX_VALUES} values; expected a manifest"),
            )
        })?;
        if node.anchor != 0 {
            self.anchors.insert(node.anchor, value.clone());
        }
        Ok(value)
    }

    fn mapping(&mut self, entries: &[Entry]) -> Result<Map<String, Value>, Problem> {
        let mut fields = Map::new();
        let mut lines = BTreeMap::new();
        for Entry { key, value } in entries {
            let line = key.line;
            let is_merge = matches!(&key.kind, Kind::Scalar { text, style: ScalarStyle::Plain, tag: None } if text == "<<");
            let name = match self.value(key)? {
                Value::String(text) => text,
                Value::Number(number) => number.to_string(),
                Value::Bool(truth) => truth.to_string(),
                _ => {
                    return Err(Problem::at(
                        line,
                        "the key is not a string; expected a name",
                    ));
                }
            };
            let value = self.value(value)?;
            if is_merge {
                merge(&mut fields, value, line)?;
                continue;
            }
            if let Some(before) = lines.insert(name.clone(), line) {
                let reason = format!(
                    "duplicate key {name}, first used in line {before}; kubectl would silently use the last one"
                );
                return Err(Problem::at(line, reason));
            }
            fields.insert(name, value);
        }
        Ok(fields)
    }
}

/// Merges the fields of `<<: value`, or of each value in a list, into a mapping. As in go-yaml, later fields override
/// earlier ones, and earlier values of the list override later ones.
fn merge(fields: &mut Map<String, Value>, value: Value, line: usize) -> Result<(), Problem> {
    let several = match value {
        Value::Array(several) => several,
        one => vec![one],
    };
    for value in several.into_iter().rev() {
        let Value::Object(merged) = value else {
            return Err(Problem::at(line, "<< requires a mapping"));
        };
        fields.extend(merged);
    }
    Ok(())
}

/// Counts the values that an alias adds.
fn count(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(count).sum::<usize>(),
        Value::Object(fields) => 1 + fields.values().map(count).sum::<usize>(),
        _ => 1,
    }
}
