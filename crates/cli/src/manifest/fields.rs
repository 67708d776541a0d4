//! Removes nulls, finds unknown fields and sets defaults, like kubectl and the API server.

use serde_json::{Map, Value};

use super::schema::{below, flag};

/// Removes the fields that are null, like kubectl before it creates an object. Null elements of lists are kept.
pub(super) fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|_, value| !value.is_null());
            fields.values_mut().for_each(drop_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_nulls),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Collects the paths of the fields that the schema does not define. Without a schema every field is unknown. `keeps`
/// says whether an enclosing list preserves unknown fields, which also applies to its elements.
pub(super) fn note_unknown(
    path: &str,
    value: &Value,
    schema: Option<&Value>,
    keeps: bool,
    unknown: &mut Vec<String>,
) {
    let preserves =
        keeps || schema.is_some_and(|schema| flag(schema, "x-kubernetes-preserve-unknown-fields"));
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let path = below(path, name);
                match schema.and_then(|schema| schema["properties"].get(name)) {
                    Some(schema) => note_unknown(&path, value, Some(schema), false, unknown),
                    None if preserves => {}
                    None => unknown.push(path),
                }
            }
        }
        Value::Array(items) => {
            let schema = schema.and_then(|schema| schema.get("items"));
            for (index, item) in items.iter().enumerate() {
                note_unknown(
                    &format!("{path}[{index}]"),
                    item,
                    schema,
                    preserves,
                    unknown,
                );
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Adds the defaults of absent fields, including those within defaults. `kube_cel::apply_defaults` does not set
/// those, and does not replace nulls in lists.
pub(super) fn apply_defaults(value: &mut Value, schema: &Value) {
    match value {
        Value::Object(fields) => {
            for (name, schema) in schema["properties"].as_object().unwrap_or(&Map::new()) {
                if let (Some(default), None) = (schema.get("default"), fields.get(name)) {
                    fields.insert(name.clone(), default.clone());
                }
            }
            for (name, value) in fields {
                if let Some(schema) = schema["properties"].get(name) {
                    apply_defaults(value, schema);
                }
            }
        }
        Value::Array(items) => {
            let schema = &schema["items"];
            for item in items {
                if item.is_null() && !flag(schema, "nullable") {
                    *item = schema.get("default").cloned().unwrap_or_default();
                }
                apply_defaults(item, schema);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
