//! Edits a YAML text until its documents have new values. Comments, layout and everything else stay.

use serde::{Serialize, Serializer};
use serde_json::{Value, json};
use yaml_edit::{Document, Mapping, Sequence, YamlFile, YamlNode};

/// The fields that people write first.
const FIRST: [&str; 12] = [
    "name",
    "image",
    "imagePullPolicy",
    "restartPolicy",
    "env",
    "value",
    "valueFrom",
    "ports",
    "livenessProbe",
    "resources",
    "securityContext",
    "volumeMounts",
];

/// The value of a document before and after the edit.
pub(super) struct Change {
    pub(super) before: Value,
    pub(super) after: Value,
}

/// Edits the documents that change. The caller checks the result: the text may have a layout that cannot be edited.
pub(super) fn edit(text: &str, changes: &[Option<Change>]) -> Option<String> {
    let file = YamlFile::parse(text).to_result().ok()?;
    for (document, change) in file.documents().zip(changes) {
        if let Some(Change { before, after }) = change {
            update_mapping(&document.as_mapping()?, before, after)?;
        }
    }
    Some(file.to_string())
}

fn update_mapping(mapping: &Mapping, before: &Value, after: &Value) -> Option<()> {
    let (before, after) = (before.as_object()?, after.as_object()?);
    for key in before.keys().filter(|key| !after.contains_key(*key)) {
        mapping.remove(key.as_str());
    }
    for (key, value) in after {
        let before = before.get(key);
        if before == Some(value) {
            continue;
        }
        match (before, mapping.get(key.as_str())) {
            (Some(before @ Value::Object(_)), Some(YamlNode::Mapping(inner)))
                if value.is_object() =>
            {
                update_mapping(&inner, before, value)?;
            }
            (Some(before @ Value::Array(_)), Some(YamlNode::Sequence(inner)))
                if value.is_array() =>
            {
                update_sequence(&inner, before, value)?;
            }
            _ => mapping.set(key.as_str(), node(value, mapping.is_flow_style())?),
        }
    }
    Some(())
}

/// Updates a list whose items are identified by their names, or by their places if they have none.
fn update_sequence(sequence: &Sequence, before: &Value, after: &Value) -> Option<()> {
    let (mut before, after) = (before.as_array()?.clone(), after.as_array()?);
    let is_same = |one: &Value, other: &Value| one.get("name") == other.get("name");
    for index in (0..before.len()).rev() {
        if !after.iter().any(|item| is_same(item, &before[index])) {
            sequence.remove(index);
            before.remove(index);
        }
    }
    for (index, value) in after.iter().enumerate() {
        match before.get(index).filter(|item| is_same(item, value)) {
            Some(item) if item == value => {}
            Some(item) => match sequence.get(index)? {
                YamlNode::Mapping(mapping) => update_mapping(&mapping, item, value)?,
                _ => return None,
            },
            None => {
                sequence.insert(index, node(value, sequence.is_flow_style())?);
                before.insert(index, value.clone());
            }
        }
    }
    Some(())
}

/// A value as a part of a YAML tree. Between brackets it is JSON, since the file may be JSON.
fn node(value: &Value, in_brackets: bool) -> Option<YamlNode> {
    let text = if in_brackets {
        format!("x: {value}")
    } else {
        to_yaml(&json!({ "x": value })).ok()?
    };
    text.parse::<Document>().ok()?.get("x")
}

/// A value as YAML in block style.
pub(super) fn to_yaml(value: &Value) -> Result<String, serde_saphyr::ser::Error> {
    serde_saphyr::to_string(&Ordered(value))
}

/// Serializes the fields of objects in the order in which people write them.
struct Ordered<'a>(&'a Value);

impl Serialize for Ordered<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Object(fields) => {
                let mut fields: Vec<_> = fields.iter().collect();
                fields.sort_by_key(|(key, _)| {
                    let index = FIRST.iter().position(|first| first == key);
                    index.unwrap_or(FIRST.len())
                });
                serializer.collect_map(fields.into_iter().map(|(key, value)| (key, Ordered(value))))
            }
            Value::Array(items) => serializer.collect_seq(items.iter().map(Ordered)),
            other => other.serialize(serializer),
        }
    }
}
