//! Access to the keywords of a structural schema (`openAPIV3Schema`), and which of them are supported.

use kube_cel::cel::Program;
use regex::Regex;
use serde_json::Value;

use super::error::DefinitionError;

/// The keywords that are validated here, and those without an effect on validation.
const KEYWORDS: [&str; 33] = [
    "additionalProperties",
    "allOf",
    "anyOf",
    "default",
    "description",
    "enum",
    "example",
    "exclusiveMaximum",
    "exclusiveMinimum",
    "externalDocs",
    "format",
    "items",
    "maxItems",
    "maxLength",
    "maxProperties",
    "maximum",
    "minItems",
    "minLength",
    "minProperties",
    "minimum",
    "multipleOf",
    "not",
    "nullable",
    "oneOf",
    "pattern",
    "properties",
    "required",
    "title",
    "type",
    "x-kubernetes-int-or-string",
    "x-kubernetes-map-type",
    "x-kubernetes-preserve-unknown-fields",
    RULES,
];

/// The supported keywords of lists.
const LIST_KEYWORDS: [&str; 2] = ["x-kubernetes-list-map-keys", "x-kubernetes-list-type"];

/// The formats that are validated here.
const FORMATS: [&str; 5] = ["int32", "int64", "float", "double", "date-time"];

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
                // `kube-cel` escapes it in another way than the API server; see `rules`.
                let underscored = |name: &&String| name.replace("__", "").contains('_');
                if let Some(name) = fields.keys().find(underscored) {
                    return unsupported(format!("the underscore in the field {name}"));
                }
                fields.values().collect()
            }
            ("allOf" | "anyOf" | "oneOf", Value::Array(schemas)) => schemas.iter().collect(),
            ("items" | "not" | "additionalProperties", _) => vec![value],
            (RULES, Value::Array(rules)) => {
                for text in rules
                    .iter()
                    .flat_map(|rule| ["rule", "messageExpression"].map(|key| rule[key].as_str()))
                {
                    if let Some(Err(error)) = text.map(Program::compile) {
                        return unsupported(format!("the rule {text:?}: {error}"));
                    }
                }
                vec![]
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
            (key, _) if KEYWORDS.contains(&key) || LIST_KEYWORDS.contains(&key) => vec![],
            (key, _) => return unsupported(format!("the keyword {key}")),
        };
        children.into_iter().try_for_each(check)?;
    }
    Ok(())
}

/// Returns whether a boolean keyword is set.
pub(super) fn flag(schema: &Value, keyword: &str) -> bool {
    schema[keyword] == true
}

/// Returns the elements of a keyword whose value is a list.
pub(super) fn list<'a>(schema: &'a Value, keyword: &str) -> &'a [Value] {
    schema[keyword].as_array().map_or(&[], Vec::as_slice)
}

/// Returns the types that a value may have; empty if any type is allowed.
pub(super) fn types(schema: &Value) -> Vec<&str> {
    if flag(schema, "x-kubernetes-int-or-string") {
        return vec!["integer", "string"];
    }
    schema["type"].as_str().into_iter().collect()
}

/// Returns the format if the API server enforces it: it ignores a format that belongs to another type.
pub(super) fn format(schema: &Value) -> Option<&str> {
    let format = schema["format"].as_str()?;
    let applies = matches!(
        (format, types(schema).as_slice()),
        ("int32" | "int64", ["integer"])
            | ("float" | "double", ["number"])
            | ("date-time", [] | ["string"])
    );
    applies.then_some(format)
}

/// Returns the schema of the fields that `properties` does not list.
pub(super) fn additional(schema: &Value) -> Option<&Value> {
    schema
        .get("additionalProperties")
        .filter(|schema| schema.is_object())
}

/// Returns the schema of a field.
pub(super) fn field<'a>(schema: &'a Value, name: &str) -> Option<&'a Value> {
    schema["properties"]
        .get(name)
        .or_else(|| additional(schema))
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
    for all in list(schema, "allOf") {
        visit(all, value, path, each);
    }
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
                if let Some(schema) = additional(schema) {
                    visit(schema, value, &format!("{path}[{name}]"), each);
                }
                if let Some(schema) = schema["properties"].get(name) {
                    visit(schema, value, &below(path, name), each);
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
