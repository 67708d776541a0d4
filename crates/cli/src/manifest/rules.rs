//! CEL rules (`x-kubernetes-validations`), evaluated by `kube-cel`.

use std::error::Error as _;

use kube_cel::cel::ExecutionError;
use kube_cel::{ValidationError, Validator};
use regex::Regex;
use serde_json::Value;

use super::problem::{Kind, Problem};
use super::schema::{RULES, list, visit};

/// Returns the rules that an object breaks. Its structure must be valid.
pub(super) fn check(schema: &Value, object: &Value) -> Vec<Problem> {
    let validator = Validator::new();
    let mut problems = Vec::new();
    visit(schema, object, "", &mut |schema, value, path| {
        for rule in list(schema, RULES) {
            // One rule of one value at a time: `kube-cel` prints paths in another way than the API server.
            let mut own = without_rules(schema);
            own[RULES] = vec![rule.clone()].into();
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
    let message = rule["message"].as_str().unwrap_or_default().trim();
    let source = error.source();
    if let Some(evaluation) = source.and_then(|source| source.downcast_ref::<ExecutionError>()) {
        let detail = format!("{} evaluating rule: {message}", words(evaluation));
        let type_ = schema["type"].as_str().unwrap_or_default();
        return Problem::invalid(path, type_, &detail);
    }
    // The API server does not print objects and lists.
    let shown = (!value.is_object() && !value.is_array()).then_some(value);
    Problem::new(path, Kind::Invalid, shown, message)
}

/// The words of cel-go for what a value can cause, and those of the crate `cel` for anything else.
fn words(error: &ExecutionError) -> String {
    match error {
        ExecutionError::FunctionError { function, .. } if function == "duration" => {
            "type conversion error from 'string' to 'google.protobuf.Duration'".to_owned()
        }
        ExecutionError::NoSuchKey(key) => format!("no such key: {key}"),
        other => other.to_string(),
    }
}
