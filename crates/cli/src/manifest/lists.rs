//! What must differ between the elements of a list: `x-kubernetes-list-type`.

use serde_json::{Map, Value};

use super::problem::{Kind, Problem};
use super::schema::{ListType, Schema};

/// All elements that stand in a list twice and may not.
pub(super) fn check(schema: &Schema, object: &Value) -> Vec<Problem> {
    let mut problems = Vec::new();
    look(schema, object, "", &mut problems);
    problems
}

fn look(schema: &Schema, value: &Value, path: &str, problems: &mut Vec<Problem>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                if let Some(schema) = schema.additional_schema() {
                    look(schema, value, &format!("{path}[{name}]"), problems);
                }
                if let Some(schema) = schema.properties.get(name) {
                    let dot = if path.is_empty() { "" } else { "." };
                    look(schema, value, &format!("{path}{dot}{name}"), problems);
                }
            }
        }
        Value::Array(items) => {
            match schema.list_type {
                ListType::Atomic => {}
                ListType::Set => note_repeated(items, path, problems),
                ListType::Map => check_map(schema, items, path, problems),
            }
            if let Some(schema) = &schema.items {
                for (index, item) in items.iter().enumerate() {
                    look(schema, item, &format!("{path}[{index}]"), problems);
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// The elements of a map are objects that differ in their keys.
fn check_map(schema: &Schema, items: &[Value], path: &str, problems: &mut Vec<Problem>) {
    let mut keys = Vec::new();
    for (index, item) in items.iter().enumerate() {
        let fields = match item {
            Value::Object(fields) => fields,
            Value::Null => &Map::new(),
            _ => {
                let detail = "must be an object for an array of list-type map";
                problems.push(Problem::invalid(format!("{path}[{index}]"), item, detail));
                return;
            }
        };
        let key = schema
            .list_map_keys
            .iter()
            .filter_map(|name| Some((name.clone(), fields.get(name)?.clone())))
            .collect();
        keys.push(Value::Object(key));
    }
    note_repeated(&keys, path, problems);
}

/// What stands a second time, once each.
fn note_repeated(items: &[Value], path: &str, problems: &mut Vec<Problem>) {
    for (index, item) in items.iter().enumerate() {
        let before = items
            .iter()
            .take(index)
            .filter(|other| *other == item)
            .count();
        if before == 1 {
            let field = format!("{path}[{index}]");
            problems.push(Problem::new(Kind::Duplicate, field, item, ""));
        }
    }
}
