//! What does not reach the API server's checks: nulls, and fields that the schema does not know.

use serde_json::{Map, Value};

use super::schema::Schema;

/// Drops the fields that are null, as kubectl does before it creates an object. Elements of lists stay.
pub(super) fn drop_nulls(object: &mut Map<String, Value>) {
    object.retain(|_, value| !value.is_null());
    object.values_mut().for_each(drop_nulls_within);
}

fn drop_nulls_within(value: &mut Value) {
    match value {
        Value::Object(fields) => drop_nulls(fields),
        Value::Array(items) => items.iter_mut().for_each(drop_nulls_within),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// The paths of the fields that the schema does not know, in order. Metadata is none of its business.
pub(super) fn unknown_fields(object: &Map<String, Value>, schema: &Schema) -> Vec<String> {
    let mut unknown = Vec::new();
    for (name, value) in object {
        if !["apiVersion", "kind", "metadata"].contains(&name.as_str()) {
            look_at_field(name, name, value, schema, false, &mut unknown);
        }
    }
    unknown.sort();
    unknown
}

/// In what no schema describes, every field is unknown. In a list that `keeps` unknown fields, so do its elements.
fn look(
    path: &str,
    value: &Value,
    schema: Option<&Schema>,
    keeps: bool,
    unknown: &mut Vec<String>,
) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let path = format!("{path}.{name}");
                match schema {
                    Some(schema) => look_at_field(&path, name, value, schema, keeps, unknown),
                    None if keeps => {}
                    None => unknown.push(path),
                }
            }
        }
        Value::Array(items) => {
            let keeps = keeps || schema.is_some_and(|schema| schema.preserve_unknown_fields);
            let schema = schema.and_then(|schema| schema.items.as_deref());
            for (index, item) in items.iter().enumerate() {
                look(&format!("{path}[{index}]"), item, schema, keeps, unknown);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn look_at_field(
    path: &str,
    name: &str,
    value: &Value,
    parent: &Schema,
    keeps: bool,
    unknown: &mut Vec<String>,
) {
    match (parent.field(name), &parent.additional_properties) {
        (Some(schema), _) => look(path, value, Some(schema), false, unknown),
        // `additionalProperties: true` allows a field and does not say what it may hold.
        (None, Some(_)) => look(path, value, None, false, unknown),
        (None, None) if keeps || parent.preserve_unknown_fields => {}
        (None, None) => unknown.push(path.to_owned()),
    }
}
