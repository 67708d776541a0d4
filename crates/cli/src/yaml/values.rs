//! What a tree says, with aliases and merges in place.

use std::collections::BTreeMap;

use granit_parser::ScalarStyle;
use serde_json::{Map, Value};

use super::{Entry, Kind, Node, Problem, scalar};

/// Aliases multiply what stands in a file: ten lines can ask for a billion values.
const MOST_VALUES: usize = 1_000_000;

/// The value of a node.
pub(super) fn of(node: &Node) -> Result<Value, Problem> {
    let mut values = Values {
        anchors: BTreeMap::new(),
        left: MOST_VALUES,
    };
    values.of(node)
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
        let mut lines = BTreeMap::new();
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
                merge(&mut fields, value, line)?;
                continue;
            }
            if let Some(before) = lines.insert(name.clone(), line) {
                let reason = format!(
                    "{name} stands in line {before} already; expected it once (kubectl takes the last without a word)"
                );
                return Err(Problem::at(line, reason));
            }
            fields.insert(name, value);
        }
        Ok(fields)
    }
}

/// `<<: value` puts the fields of the value, or of each in a list, among those of the mapping. As in go-yaml what
/// stands later wins, and in a list what stands earlier.
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

/// How many values an alias adds.
fn count(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(count).sum::<usize>(),
        Value::Object(fields) => 1 + fields.values().map(count).sum::<usize>(),
        _ => 1,
    }
}
