//! Types, bounds, patterns and enums, validated like kube-openapi does for the API server.

use regex::Regex;
use serde_json::{Map, Number, Value};

use super::go;
use super::problem::{Kind, Problem};
use super::schema::{below, flag, format, list, type_of};

/// Returns all errors of an object.
pub(super) fn check(schema: &Value, object: &Value) -> Vec<Problem> {
    let mut problems = Vec::new();
    check_value(schema, object, "", &mut problems);
    problems
}

/// An error whose details repeat the path.
fn invalid(path: &str, value: impl Into<Value>, words: &str) -> Problem {
    Problem::invalid(path, value, &format!("{path} in body {words}"))
}

fn check_value(schema: &Value, value: &Value, path: &str, problems: &mut Vec<Problem>) {
    if value.is_null() || type_of(schema).is_some() {
        check_type(schema, value, path, problems);
    }
    match value {
        Value::String(text) => problems.extend(check_text(schema, text, path)),
        Value::Number(number) => check_number(schema, number, path, problems),
        Value::Array(items) => check_list(schema, items, path, problems),
        Value::Null | Value::Bool(_) | Value::Object(_) => {}
    }
    check_enum(schema, value, path, problems);
    if let Value::Object(fields) = value {
        check_object(schema, fields, path, problems);
    }
}

fn check_type(schema: &Value, value: &Value, path: &str, problems: &mut Vec<Problem>) {
    let type_ = type_of(schema);
    let (found, found_format) = match value {
        Value::Null => ("null", ""),
        Value::Object(_) => ("object", ""),
        Value::Bool(_) => ("boolean", ""),
        Value::Number(number) if number.is_i64() => ("integer", "int64"),
        Value::Number(_) => ("number", "float64"),
        Value::String(_) => ("string", ""),
        Value::Array(_) => ("array", ""),
    };
    let fits = type_ == Some(found)
        || value.as_f64().is_some_and(is_whole) && type_ == Some("integer")
        || value.is_null() && (type_.is_none() || flag(schema, "nullable"));
    if fits {
        return;
    }
    let (expected, found) = match format(schema) {
        Some(format) if !value.is_null() && !value.is_string() && !value.is_array() => {
            (format, found_format)
        }
        _ => (type_.unwrap_or_default(), found),
    };
    let words = format!(
        "{path} in body must be of type {expected}: {}",
        go::quoted(found)
    );
    let problem = Problem::new(path, Kind::TypeInvalid, Some(&found.into()), &words);
    problems.push(problem);
}

fn check_enum(schema: &Value, value: &Value, path: &str, problems: &mut Vec<Problem>) {
    let supported = list(schema, "enum");
    if supported.is_empty() || supported.contains(value) {
        return;
    }
    let supported = supported.iter().filter_map(Value::as_str);
    let supported: Vec<String> = supported.map(go::quoted).collect();
    let detail = format!("supported values: {}", supported.join(", "));
    problems.push(Problem::new(path, Kind::NotSupported, Some(value), &detail));
}

/// Returns the first error only.
fn check_text(schema: &Value, text: &str, path: &str) -> Option<Problem> {
    let length = as_i64(text.chars().count());
    match (
        schema["maxLength"].as_i64(),
        schema["minLength"].as_i64(),
        schema["pattern"].as_str(),
    ) {
        (Some(max), _, _) if length > max => Some(Problem::too_long(path, max)),
        (_, Some(min), _) if length < min => {
            let words = format!("should be at least {min} chars long");
            Some(invalid(path, text, &words))
        }
        // Both languages have the syntax of RE2. Only in Rust do `\d`, `\w`, `\s` and `\b` match more than ASCII;
        // patterns use `[0-9]`.
        (_, _, Some(pattern)) if Regex::new(pattern).is_ok_and(|regex| !regex.is_match(text)) => {
            Some(invalid(path, text, &format!("should match '{pattern}'")))
        }
        _ => None,
    }
}

fn check_number(schema: &Value, number: &Number, path: &str, problems: &mut Vec<Problem>) {
    check_range(schema, number, path, problems);
    for (keyword, words) in [
        ("maximum", "less than or equal to"),
        ("minimum", "greater than or equal to"),
    ] {
        let (Some(limit), Some(double)) = (schema[keyword].as_f64(), number.as_f64()) else {
            continue;
        };
        let holds = match keyword {
            "maximum" => double <= limit,
            _ => double >= limit,
        };
        if !holds {
            let limit = if number.is_i64() {
                limit.to_string()
            } else {
                go::float(limit)
            };
            let words = format!("should be {words} {limit}");
            problems.push(invalid(path, Value::from(number.clone()), &words));
        }
    }
}

/// Checks that an integer's format can hold a number.
fn check_range(schema: &Value, number: &Number, path: &str, problems: &mut Vec<Problem>) {
    if type_of(schema) != Some("integer") {
        return;
    }
    let format = format(schema);
    let holds = number
        .as_i64()
        .is_some_and(|whole| format != Some("int32") || i32::try_from(whole).is_ok());
    if !holds {
        let format = format.map_or("(default format)".to_owned(), |format| {
            format!("with format {format}")
        });
        // The API server reports it without a field.
        let words = format!("Checked value must be of type integer {format} in {path}");
        problems.push(Problem::invalid("", "", &words));
    }
}

/// Whether a double is nearly a whole number, and one that JavaScript can hold.
fn is_whole(double: f64) -> bool {
    const MAX: f64 = 9_007_199_254_740_991.0;
    let rounded = double.round();
    let difference = (double - rounded).abs();
    double.abs() <= MAX && (difference == 0.0 || difference < 1e-9 * rounded.abs())
}

fn check_list(schema: &Value, items: &[Value], path: &str, problems: &mut Vec<Problem>) {
    if let Some(schema) = schema.get("items") {
        for (index, item) in items.iter().enumerate() {
            check_value(schema, item, &format!("{path}[{index}]"), problems);
        }
    }
    let count = as_i64(items.len());
    if let Some(min) = schema["minItems"].as_i64().filter(|min| count < *min) {
        let words = format!("should have at least {min} items");
        problems.push(invalid(path, count, &words));
    }
    if let Some(max) = schema["maxItems"].as_i64().filter(|max| count > *max) {
        problems.push(Problem::too_many(path, count, max));
    }
}

fn check_object(
    schema: &Value,
    fields: &Map<String, Value>,
    path: &str,
    problems: &mut Vec<Problem>,
) {
    for (name, schema) in schema["properties"].as_object().into_iter().flatten() {
        if let Some(value) = fields.get(name) {
            check_value(schema, value, &below(path, name), problems);
        }
    }
    for name in list(schema, "required").iter().filter_map(Value::as_str) {
        if !fields.contains_key(name) {
            problems.push(Problem::required(&below(path, name), ""));
        }
    }
}

fn as_i64(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
