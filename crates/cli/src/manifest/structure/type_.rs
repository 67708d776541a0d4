//! The type of a value.

use serde_json::Value;

use super::super::go;
use super::super::problem::{Kind, Problem};
use super::super::schema::{Schema, Type};
use super::{Findings, number};

pub(super) fn check(schema: &Schema, value: &Value, path: &str) -> Findings {
    let types = schema.types();
    if value.is_null() {
        return if types.is_empty() || schema.nullable {
            Findings::matched(1)
        } else {
            mismatch(path, &names(types), "null")
        };
    }
    let (found, found_format) = type_of(value);
    let fits = types.iter().any(|type_| type_.name() == found)
        || value.as_f64().is_some_and(number::is_whole) && types.contains(&Type::Integer)
        || found == "integer" && types.contains(&Type::Number);
    // What has its format from its text is looked at later; all else is told the format before the type.
    let has_text = value.is_string() || value.is_array();
    if let Some(format) = schema.enforced_format() {
        if !has_text && !fits && found_format != format.name() {
            return mismatch(path, format.name(), found_format);
        }
        if has_text && !types.contains(&Type::Number) && !types.contains(&Type::Integer) {
            return Findings::matched(1);
        }
    }
    if fits {
        Findings::matched(1)
    } else {
        mismatch(path, &names(types), found)
    }
}

fn mismatch(path: &str, expected: &str, found: &str) -> Findings {
    let detail = format!(
        "{path} in body must be of type {expected}: {}",
        go::quoted(found)
    );
    Findings::of(Problem::new(Kind::TypeInvalid, path, found, detail))
}

fn names(types: &[Type]) -> String {
    let names: Vec<&str> = types.iter().map(|type_| type_.name()).collect();
    names.join(",")
}

/// The type of a value that is not null, and the format that goes with it.
fn type_of(value: &Value) -> (&'static str, &'static str) {
    match value {
        Value::Null | Value::Object(_) => ("object", ""),
        Value::Bool(_) => ("boolean", ""),
        Value::Number(number) if number.is_i64() => ("integer", "int64"),
        Value::Number(_) => ("number", "float64"),
        Value::String(_) => ("string", ""),
        Value::Array(_) => ("array", ""),
    }
}
