//! A value as CEL sees it, by its schema.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::DateTime;
use kube_cel::cel;
use kube_cel::cel::objects::{Key, Map};
use serde_json::Value;

use super::super::schema::{Format, Schema, Type};

/// Words of CEL that no field can be called.
const RESERVED: [&str; 21] = [
    "true",
    "false",
    "null",
    "in",
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "package",
    "namespace",
    "return",
    "var",
    "void",
    "while",
];

pub(super) fn of(value: &Value, schema: &Schema) -> cel::Value {
    convert(value, Some(schema))
}

fn convert(value: &Value, schema: Option<&Schema>) -> cel::Value {
    match value {
        Value::Null => cel::Value::Null,
        Value::Bool(truth) => cel::Value::Bool(*truth),
        Value::Number(number) => {
            let is_double = schema.is_some_and(|schema| schema.type_ == Some(Type::Number));
            match (number.as_i64(), number.as_f64()) {
                (Some(whole), _) if !is_double => cel::Value::Int(whole),
                (_, double) => cel::Value::Float(double.unwrap_or(f64::NAN)),
            }
        }
        Value::String(text) => {
            let is_time = schema.and_then(Schema::enforced_format) == Some(Format::DateTime);
            match DateTime::parse_from_rfc3339(text).ok().filter(|_| is_time) {
                Some(time) => cel::Value::Timestamp(time),
                None => cel::Value::String(Arc::new(text.clone())),
            }
        }
        Value::Array(items) => {
            let schema = schema.and_then(|schema| schema.items.as_deref());
            let items = items.iter().map(|item| convert(item, schema)).collect();
            cel::Value::List(Arc::new(items))
        }
        Value::Object(fields) => {
            let fields: HashMap<Key, cel::Value> = fields
                .iter()
                .map(|(name, value)| {
                    let declared = schema.and_then(|schema| schema.properties.get(name));
                    // Only what the schema declares is a field of CEL; the rest are keys of a map.
                    let key = declared.map_or_else(|| name.clone(), |_| escaped(name));
                    let schema = schema.and_then(|schema| schema.field(name));
                    (Key::String(Arc::new(key)), convert(value, schema))
                })
                .collect();
            cel::Value::Map(Map {
                map: Arc::new(fields),
            })
        }
    }
}

/// A field's name as an identifier of CEL.
fn escaped(name: &str) -> String {
    if RESERVED.contains(&name) {
        return format!("__{name}__");
    }
    name.replace("__", "__underscores__")
        .replace('.', "__dot__")
        .replace('-', "__dash__")
        .replace('/', "__slash__")
}
