//! Access to the keywords of a structural schema (`openAPIV3Schema`), and which of them are supported.

use kube_cel::cel::Program;
use regex::Regex;
use serde_json::Value;

use super::error::DefinitionError;

/// The keywords that are validated here, and those without an effect on validation. `check` also knows some.
const KEYWORDS: [&str; 14] = [
    "default",
    "description",
    "enum",
    "maxItems",
    "maxLength",
    "maximum",
    "minItems",
    "minLength",
    "minimum",
    "nullable",
    "required",
    "title",
    "type",
    "x-kubernetes-preserve-unknown-fields",
];

/// The types whose values are validated here.
const TYPES: [&str; 5] = ["array", "boolean", "integer", "object", "string"];

/// The formats that are validated here.
const FORMATS: [&str; 2] = ["int32", "int64"];

/// The formats that the generator writes for other integers, and that the API server ignores.
const IGNORED_FORMATS: [&str; 8] = [
    "int8", "int16", "uint8", "uint16", "uint32", "uint64", "uint", "int",
];

/// The keyword of CEL rules.
pub(super) const RULES: &str = "x-kubernetes-validations";

/// Checks that a schema has nothing that is not validated here. A test fails if the PushScaler's schema
/// uses an unsupported keyword.
pub(super) fn check(schema: &Value) -> Result<(), DefinitionError> {
    let unsupported = |what: String| Err(DefinitionError::Unsupported(what));
    for (key, value) in schema.as_object().into_iter().flatten() {
        let children: Vec<&Value> = match (key.as_str(), value) {
            ("properties", Value::Object(fields)) => {
                // `kube-cel` escapes it in another way than the API server.
                if let Some(name) = fields.keys().find(|name| name.contains('_')) {
                    return unsupported(format!("the underscore in the field {name}"));
                }
                fields.values().collect()
            }
            ("items", _) => vec![value],
            ("enum", Value::Array(values)) if values.iter().all(Value::is_string) => vec![],
            ("enum", _) => return unsupported("an enum of other values than strings".to_owned()),
            (RULES, Value::Array(rules)) => {
                rules.iter().try_for_each(check_rule)?;
                vec![]
            }
            ("type", _) if !TYPES.iter().any(|type_| value == type_) => {
                return unsupported(format!("the type {value}"));
            }
            ("pattern", _) => {
                let pattern = value.as_str().unwrap_or_default();
                if let Err(error) = Regex::new(pattern) {
                    return unsupported(format!("the pattern {pattern:?}: {error}"));
                }
                vec![]
            }
            ("format", Value::String(format)) => {
                let format = format.as_str();
                if !FORMATS.contains(&format) && !IGNORED_FORMATS.contains(&format) {
                    return unsupported(format!("the format {format}"));
                }
                vec![]
            }
            (key, _) if KEYWORDS.contains(&key) => vec![],
            (key, _) => return unsupported(format!("the keyword {key}")),
        };
        children.into_iter().try_for_each(check)?;
    }
    Ok(())
}

/// Checks that a rule has a text and a message, nothing else, and that it compiles.
fn check_rule(rule: &Value) -> Result<(), DefinitionError> {
    let keys: Vec<&str> = rule
        .as_object()
        .into_iter()
        .flatten()
        .map(|(key, _)| key.as_str())
        .collect();
    if keys != ["message", "rule"] {
        let what = format!("the keywords {} of a rule", keys.join(", "));
        return Err(DefinitionError::Unsupported(what));
    }
    let text = rule["rule"].as_str().unwrap_or_default();
    match Program::compile(text) {
        Ok(_) => Ok(()),
        Err(error) => {
            let what = format!("the rule {text:?}: {error}");
            Err(DefinitionError::Unsupported(what))
        }
    }
}

/// Returns whether a boolean keyword is set.
pub(super) fn flag(schema: &Value, keyword: &str) -> bool {
    schema[keyword] == true
}

/// Returns the elements of a keyword whose value is a list.
pub(super) fn list<'a>(schema: &'a Value, keyword: &str) -> &'a [Value] {
    schema[keyword].as_array().map_or(&[], Vec::as_slice)
}

/// Returns the type that a value must have; `None` if any type is allowed.
pub(super) fn type_of(schema: &Value) -> Option<&str> {
    schema["type"].as_str()
}

/// Returns the format if the API server enforces it: it ignores a format that belongs to another type.
pub(super) fn format(schema: &Value) -> Option<&str> {
    let format = schema["format"].as_str()?;
    (type_of(schema) == Some("integer") && FORMATS.contains(&format)).then_some(format)
}

/// Returns the path of a field below `path`.
pub(super) fn below(path: &str, name: &str) -> String {
    if path.is_empty() {
        name.to_owned()
    } else {
        format!("{path}.{name}")
    }
}

/// Calls `each` for a value and all values in it that a schema describes, from the outside in, with schema and path.
/// Skips nulls.
pub(super) fn visit(
    schema: &Value,
    value: &Value,
    path: &str,
    each: &mut dyn FnMut(&Value, &Value, &str),
) {
    if value.is_null() {
        return;
    }
    each(schema, value, path);
    match value {
        Value::Array(items) => {
            if let Some(schema) = schema.get("items") {
                for (index, item) in items.iter().enumerate() {
                    visit(schema, item, &format!("{path}[{index}]"), each);
                }
            }
        }
        Value::Object(fields) => {
            for (name, value) in fields {
                if let Some(schema) = schema["properties"].get(name) {
                    visit(schema, value, &below(path, name), each);
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
