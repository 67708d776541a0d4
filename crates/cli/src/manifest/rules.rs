//! `x-kubernetes-list-type`, and CEL rules (`x-kubernetes-validations`) by `kube-cel`.

use std::error::Error as _;

use kube_cel::cel::{self, ExecutionError};
use kube_cel::{ValidationError, Validator};
use regex::Regex;
use serde_json::{Map, Value};

use super::problem::{Kind, Problem};
use super::schema::{RULES, below, list, visit};

/// Returns the elements that occur more than once in a list that forbids it.
pub(super) fn check_lists(schema: &Value, object: &Value) -> Vec<Problem> {
    let mut problems = Vec::new();
    visit(schema, object, "", &mut |schema, value, path| {
        let items = value.as_array().map_or(&[][..], Vec::as_slice);
        match schema["x-kubernetes-list-type"].as_str() {
            Some("set") => note_duplicates(items, path, &mut problems),
            Some("map") => check_map(schema, items, path, &mut problems),
            _ => {}
        }
    });
    problems
}

/// Elements of a map are objects with different keys.
fn check_map(schema: &Value, items: &[Value], path: &str, problems: &mut Vec<Problem>) {
    let mut keys = Vec::new();
    for (index, item) in items.iter().enumerate() {
        if !item.is_object() && !item.is_null() {
            let detail = "must be an object for an array of list-type map";
            problems.push(Problem::invalid(
                &format!("{path}[{index}]"),
                item.clone(),
                detail,
            ));
            return;
        }
        let names = list(schema, "x-kubernetes-list-map-keys")
            .iter()
            .filter_map(Value::as_str);
        let key = names.filter_map(|name| Some((name.to_owned(), item.get(name)?.clone())));
        keys.push(Value::Object(key.collect::<Map<_, _>>()));
    }
    note_duplicates(&keys, path, problems);
}

/// Reports each value that occurs again, once.
fn note_duplicates(items: &[Value], path: &str, problems: &mut Vec<Problem>) {
    for (index, item) in items.iter().enumerate() {
        let before = items.iter().take(index).filter(|other| *other == item);
        if before.count() == 1 {
            let path = format!("{path}[{index}]");
            problems.push(Problem::new(&path, Kind::Duplicate, Some(item), ""));
        }
    }
}

/// Returns the rules that an object breaks. Its structure must be valid.
pub(super) fn check(schema: &Value, object: &Value) -> Vec<Problem> {
    let validator = Validator::new();
    let mut problems = Vec::new();
    visit(schema, object, "", &mut |schema, value, path| {
        for rule in list(schema, RULES) {
            // One value at a time: `kube-cel` prints paths into maps with a dot, the API server with brackets. And it
            // escapes two underscores in a field's name in another way than the API server.
            let mut own = without_rules(schema);
            let mut escaped = rule.clone();
            for key in ["rule", "messageExpression"] {
                if let Some(text) = rule[key].as_str() {
                    escaped[key] = text.replace("__underscores__", "____").into();
                }
            }
            own[RULES] = vec![escaped].into();
            let value_for_cel = match (value, rule["rule"].as_str()) {
                (Value::String(text), Some(rule)) if rule.contains("duration(") => {
                    as_duration(text).into()
                }
                _ => value.clone(),
            };
            let errors = validator.validate(&own, &value_for_cel, None);
            let errors = errors.err().into_iter().flatten();
            problems.extend(errors.map(|error| problem(&error, rule, schema, value, path)));
        }
    });
    problems
}

fn without_rules(schema: &Value) -> Value {
    match schema {
        Value::Object(fields) => {
            let fields = fields.iter().filter(|(key, _)| *key != RULES);
            fields
                .map(|(key, value)| (key.clone(), without_rules(value)))
                .collect()
        }
        Value::Array(items) => items.iter().map(without_rules).collect(),
        other => other.clone(),
    }
}

/// Rewrites a duration for the function `duration` of the crate `cel`, which does not know µs, ignores what follows the
/// last unit, and accepts more than the 292 years that Go can hold.
fn as_duration(text: &str) -> String {
    const UNITS: [(&str, f64); 6] = [
        ("h", 3.6e12),
        ("m", 6e10),
        ("s", 1e9),
        ("ms", 1e6),
        ("us", 1e3),
        ("ns", 1.0),
    ];
    let text = text.replace(['\u{b5}', '\u{3bc}'], "u");
    let part = "([0-9]+[.]?[0-9]*|[.][0-9]+)(ns|us|ms|s|m|h)";
    let whole = Regex::new(&format!("^[-+]?(0|({part})+)$"));
    let nanoseconds: f64 = Regex::new(part)
        .iter()
        .flat_map(|part| part.captures_iter(&text))
        .filter_map(|part| {
            let (_, unit) = UNITS.iter().find(|(name, _)| *name == &part[2])?;
            Some(part[1].parse::<f64>().ok()? * unit)
        })
        .sum();
    // Go holds up to 2^63 nanoseconds.
    if whole.is_ok_and(|whole| whole.is_match(&text)) && nanoseconds < 9_223_372_036_854_775_808.0 {
        text
    } else {
        "not a duration".to_owned()
    }
}

fn problem(
    error: &ValidationError,
    rule: &Value,
    schema: &Value,
    value: &Value,
    path: &str,
) -> Problem {
    let text = rule["rule"].as_str().unwrap_or_default().trim();
    let message = rule["message"].as_str().map_or(text, str::trim);
    let source = error.source();
    if let Some(evaluation) = source.and_then(|source| source.downcast_ref::<ExecutionError>()) {
        let detail = match evaluation {
            ExecutionError::NoSuchOverload => format!(
                "'no such overload': call arguments did not match a supported operator, function or macro signature \
                 for rule: {message}"
            ),
            _ => format!("{} evaluating rule: {message}", words(evaluation)),
        };
        let type_ = schema["type"].as_str().unwrap_or_default();
        return Problem::invalid(path, type_, &detail);
    }
    let path = match error.field_path.trim_start_matches('.') {
        "" => path.to_owned(),
        field => below(path, field),
    };
    let has_message = rule.get("message").is_some() || rule.get("messageExpression").is_some();
    let detail = if has_message {
        error.message.trim().to_owned()
    } else {
        format!("failed rule: {text}")
    };
    let (kind, detail) = match error.reason.as_deref() {
        Some("FieldValueForbidden") => (Kind::Forbidden, detail.as_str()),
        Some("FieldValueRequired") => (Kind::Required, detail.as_str()),
        Some("FieldValueDuplicate") => (Kind::Duplicate, ""),
        _ => (Kind::Invalid, detail.as_str()),
    };
    // The API server does not print objects and lists.
    let shown = (!value.is_object() && !value.is_array()).then_some(value);
    Problem::new(&path, kind, shown, detail)
}

/// The words of cel-go for what a value can cause, and those of the crate `cel` for anything else.
fn words(error: &ExecutionError) -> String {
    match error {
        ExecutionError::FunctionError { function, message } => {
            let to = match function.as_str() {
                "duration" => "google.protobuf.Duration",
                "timestamp" => "google.protobuf.Timestamp",
                "int" | "uint" | "double" => function,
                _ => return message.clone(),
            };
            format!("type conversion error from 'string' to '{to}'")
        }
        ExecutionError::NoSuchKey(key) => format!("no such key: {key}"),
        ExecutionError::DivisionByZero(_) => "division by zero".to_owned(),
        ExecutionError::RemainderByZero(_) => "modulus by zero".to_owned(),
        ExecutionError::IndexOutOfBounds(cel::Value::Int(index)) => {
            format!("index out of bounds: {index}")
        }
        ExecutionError::Overflow(..) => "integer overflow".to_owned(),
        other => other.to_string(),
    }
}
