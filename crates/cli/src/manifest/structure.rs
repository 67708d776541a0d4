//! Types, bounds, patterns, enums and combined schemas, validated like kube-openapi does for the API server.

use jiff::civil::Date;
use regex::Regex;
use serde_json::{Map, Number, Value};

use super::go;
use super::problem::{Kind, Problem};
use super::schema::{additional, below, flag, format, list, types};

/// Returns all errors of an object.
pub(super) fn check(schema: &Value, object: &Value) -> Vec<Problem> {
    check_value(schema, object, "").problems
}

/// The errors of a value, and how many checks passed: if all schemas of an `anyOf` fail, the errors of the one with the
/// most passed checks are reported.
#[derive(Default)]
struct Findings {
    problems: Vec<Problem>,
    matched: usize,
}

impl Findings {
    fn push(&mut self, problem: Problem) {
        self.problems.push(problem);
    }

    /// Adds an error whose details repeat the path.
    fn invalid(&mut self, path: &str, value: impl Into<Value>, words: &str) {
        self.push(Problem::invalid(
            path,
            value,
            &format!("{path} in body {words}"),
        ));
    }

    /// Adds an error that the API server reports without a field.
    fn loose(&mut self, words: &str) {
        self.push(Problem::invalid("", "", words));
    }

    fn merge(&mut self, other: Self) {
        self.problems.extend(other.problems);
        self.matched += other.matched;
    }

    fn is_valid(&self) -> bool {
        self.problems.is_empty()
    }
}

fn check_value(schema: &Value, value: &Value, path: &str) -> Findings {
    let mut findings = Findings::default();
    let format = format(schema);
    if value.is_null() || format.is_some() || !types(schema).is_empty() {
        check_type(schema, value, path, &mut findings);
        findings.matched += usize::from(!value.is_null());
    }
    if value.is_null() {
        check_enum(schema, value, path, &mut findings);
        return findings;
    }
    combine(schema, value, path, &mut findings);
    match value {
        Value::String(text) => {
            check_text(schema, text, path, &mut findings);
            if format == Some("date-time") && !is_date_time(text) {
                let words = format!(
                    "{path} in body must be of type date-time: {}",
                    go::quoted(text)
                );
                findings.push(Problem::new(path, Kind::TypeInvalid, Some(value), &words));
            }
        }
        Value::Number(number) => check_number(schema, number, path, &mut findings),
        Value::Array(items) => check_list(schema, items, path, &mut findings),
        Value::Null | Value::Bool(_) | Value::Object(_) => {}
    }
    check_enum(schema, value, path, &mut findings);
    if let Value::Object(fields) = value {
        check_object(schema, fields, path, &mut findings);
    }
    // Each of kube-openapi's validators that runs counts as one passed check, some as two.
    findings.matched += match value {
        Value::Number(_) | Value::Array(_) => 6,
        Value::String(_) => 5 + usize::from(format.is_some()),
        Value::Object(_) => 5,
        Value::Null | Value::Bool(_) => 4,
    };
    findings
}

fn check_type(schema: &Value, value: &Value, path: &str, findings: &mut Findings) {
    let types = types(schema);
    let (found, found_format) = match value {
        Value::Null => ("null", ""),
        Value::Object(_) => ("object", ""),
        Value::Bool(_) => ("boolean", ""),
        Value::Number(number) if number.is_i64() => ("integer", "int64"),
        Value::Number(_) => ("number", "float64"),
        Value::String(_) => ("string", ""),
        Value::Array(_) => ("array", ""),
    };
    let is_numeric = types.contains(&"number") || types.contains(&"integer");
    let fits = types.contains(&found)
        || value.as_f64().is_some_and(is_whole) && types.contains(&"integer")
        || found == "integer" && types.contains(&"number")
        || value.is_null() && (types.is_empty() || flag(schema, "nullable"));
    let is_text = value.is_string() || value.is_array();
    let mismatch = match format(schema).filter(|_| !value.is_null()) {
        // The format of a text is checked later.
        Some(_) if is_text && !is_numeric => None,
        Some(format) if !is_text && !fits && found_format != format => {
            Some((format.to_owned(), found_format))
        }
        _ => (!fits).then(|| (types.join(","), found)),
    };
    match mismatch {
        None => findings.matched += 1,
        Some((expected, found)) => {
            let words = format!(
                "{path} in body must be of type {expected}: {}",
                go::quoted(found)
            );
            findings.push(Problem::new(
                path,
                Kind::TypeInvalid,
                Some(&found.into()),
                &words,
            ));
        }
    }
}

fn check_enum(schema: &Value, value: &Value, path: &str, findings: &mut Findings) {
    let supported = list(schema, "enum");
    // Go converts a number to the type that it is compared with: 1.5 is one of 1, 2 and 3. Its type is checked
    // elsewhere.
    let same = |supported: &Value| match (supported, value) {
        (Value::Number(one), Value::Number(other)) if one.is_i64() => {
            one.as_f64() == other.as_f64().map(f64::trunc)
        }
        (Value::Number(one), Value::Number(other)) => one.as_f64() == other.as_f64(),
        _ => supported == value,
    };
    if supported.is_empty() || supported.iter().any(same) {
        return;
    }
    let quoted = |one: &Value| match one {
        Value::String(text) => go::quoted(text),
        other => go::quoted(&go::json(other)),
    };
    let supported: Vec<String> = supported.iter().map(quoted).collect();
    let detail = format!("supported values: {}", supported.join(", "));
    findings.push(Problem::new(path, Kind::NotSupported, Some(value), &detail));
}

/// Validates `anyOf`, `oneOf`, `allOf` and `not`.
fn combine(schema: &Value, value: &Value, path: &str, findings: &mut Findings) {
    let quoted = go::quoted(path);
    let results = |keyword: &str| {
        let schemas = list(schema, keyword).iter();
        schemas
            .map(|schema| check_value(schema, value, path))
            .collect::<Vec<_>>()
    };
    // Of two with as many passed checks, the first.
    let best = |results: Vec<Findings>| {
        results.into_iter().reduce(|best, other| {
            if best.matched >= other.matched {
                best
            } else {
                other
            }
        })
    };

    let mut any = results("anyOf");
    if let Some(valid) = any.iter().position(Findings::is_valid) {
        findings.merge(any.swap_remove(valid));
    } else if let Some(best) = best(any) {
        findings.loose(&format!(
            "{quoted} must validate at least one schema (anyOf)"
        ));
        findings.merge(best);
    }

    let (mut valid, invalid): (Vec<_>, Vec<_>) =
        results("oneOf").into_iter().partition(Findings::is_valid);
    let words = format!("{quoted} must validate one and only one schema (oneOf). Found");
    match (valid.len(), best(invalid)) {
        (0, None) => {}
        (0, Some(best)) => {
            findings.loose(&format!("{words} none valid"));
            findings.merge(best);
        }
        (1, _) => findings.merge(valid.remove(0)),
        (several, _) => findings.loose(&format!("{words} {several} valid alternatives")),
    }

    let all = results("allOf");
    let (count, valid) = (
        all.len(),
        all.iter().filter(|result| result.is_valid()).count(),
    );
    all.into_iter().for_each(|result| findings.merge(result));
    if valid < count {
        let none = if valid == 0 { ". None validated" } else { "" };
        findings.loose(&format!(
            "{quoted} must validate all the schemas (allOf){none}"
        ));
    }

    if schema
        .get("not")
        .is_some_and(|not| check_value(not, value, path).is_valid())
    {
        findings.loose(&format!("{quoted} must not validate the schema (not)"));
    }
}

/// Reports the first error only.
fn check_text(schema: &Value, text: &str, path: &str, findings: &mut Findings) {
    let length = as_i64(text.chars().count());
    match (
        schema["maxLength"].as_i64(),
        schema["minLength"].as_i64(),
        schema["pattern"].as_str(),
    ) {
        (Some(max), _, _) if length > max => findings.push(Problem::too_long(path, max)),
        (_, Some(min), _) if length < min => {
            findings.invalid(path, text, &format!("should be at least {min} chars long"));
        }
        // Both languages have the syntax of RE2. Only in Rust do `\d`, `\w`, `\s` and `\b` match more than ASCII;
        // patterns use `[0-9]`.
        (_, _, Some(pattern)) if Regex::new(pattern).is_ok_and(|regex| !regex.is_match(text)) => {
            findings.invalid(path, text, &format!("should match '{pattern}'"));
        }
        _ => {}
    }
}

/// Whether a text is a calendar date and a time of day with an offset, as in RFC 3339. Go ignores what follows a second
/// T.
fn is_date_time(text: &str) -> bool {
    let text = text.to_lowercase();
    let shape = "^[0-9]{4}-[0-9]{2}-[0-9]{2}t([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](.[0-9]+)?(z|[+-][0-9]{2}:[0-9]{2})(t.*)?$";
    Regex::new(shape).is_ok_and(|shape| shape.is_match(&text))
        && text
            .get(..10)
            .is_some_and(|date| date.parse::<Date>().is_ok())
}

fn check_number(schema: &Value, number: &Number, path: &str, findings: &mut Findings) {
    check_range(schema, number, "Checked", path, findings);
    for (keyword, name) in [
        ("multipleOf", "MultipleOf"),
        ("maximum", "Maximum boundary"),
        ("minimum", "Minimum boundary"),
    ] {
        let Some(limit) = schema[keyword].as_f64() else {
            continue;
        };
        // A bound that the type cannot hold is an error of the definition, reported with every value.
        if let Some(limit) = whole(limit)
            .map(Number::from)
            .or_else(|| Number::from_f64(limit))
        {
            check_range(schema, &limit, name, path, findings);
        }
        // Whole numbers are compared as such: a double cannot hold all of them.
        let whole = number.as_i64().zip(whole(limit.trunc()));
        let double = number.as_f64().unwrap_or(f64::NAN);
        let order = match whole {
            Some((number, limit)) => Some(number.cmp(&limit)),
            None => double.partial_cmp(&limit),
        };
        let exclusive = match keyword {
            "maximum" => flag(schema, "exclusiveMaximum"),
            _ => flag(schema, "exclusiveMinimum"),
        };
        let is_multiple = || match whole {
            Some((number, factor)) => number.checked_rem(factor) == Some(0),
            None => is_whole(double / limit),
        };
        let (holds, words) = match keyword {
            "multipleOf" => (is_multiple(), "a multiple of"),
            "maximum" if exclusive => (order.is_none_or(|order| order.is_lt()), "less than"),
            "maximum" => (
                order.is_none_or(|order| order.is_le()),
                "less than or equal to",
            ),
            _ if exclusive => (order.is_none_or(|order| order.is_gt()), "greater than"),
            _ => (
                order.is_none_or(|order| order.is_ge()),
                "greater than or equal to",
            ),
        };
        if !holds {
            let limit = whole.map_or_else(|| go::float(limit), |(_, limit)| limit.to_string());
            findings.invalid(
                path,
                Value::from(number.clone()),
                &format!("should be {words} {limit}"),
            );
        }
    }
}

/// Checks that the type and its format can hold a number.
fn check_range(schema: &Value, number: &Number, what: &str, path: &str, findings: &mut Findings) {
    let type_ = match types(schema).as_slice() {
        [type_] => *type_,
        _ => "",
    };
    let format = format(schema);
    let holds = match (type_, format) {
        ("integer", Some("int32")) => number
            .as_i64()
            .is_some_and(|whole| i32::try_from(whole).is_ok()),
        ("integer", _) => number.is_i64(),
        (_, Some("float")) => number
            .as_f64()
            .is_some_and(|double| double.abs() <= f64::from(f32::MAX)),
        _ => true,
    };
    if !holds {
        let format = format.map_or("(default format)".to_owned(), |format| {
            format!("with format {format}")
        });
        findings.loose(&format!(
            "{what} value must be of type {type_} {format} in {path}"
        ));
    }
}

/// Whether a double is nearly a whole number, and one that JavaScript can hold.
fn is_whole(double: f64) -> bool {
    const MAX: f64 = 9_007_199_254_740_991.0;
    let rounded = double.round();
    let difference = (double - rounded).abs();
    double.abs() <= MAX && (difference == 0.0 || difference < 1e-9 * rounded.abs())
}

/// Converts a double without a fraction: Rust prints it without an exponent.
fn whole(double: f64) -> Option<i64> {
    double.to_string().parse().ok()
}

fn check_list(schema: &Value, items: &[Value], path: &str, findings: &mut Findings) {
    if let Some(schema) = schema.get("items") {
        for (index, item) in items.iter().enumerate() {
            findings.merge(check_value(schema, item, &format!("{path}[{index}]")));
        }
    }
    check_count(
        schema,
        items.len(),
        ("minItems", "maxItems", "items"),
        path,
        findings,
    );
}

fn check_object(schema: &Value, fields: &Map<String, Value>, path: &str, findings: &mut Findings) {
    check_count(
        schema,
        fields.len(),
        ("minProperties", "maxProperties", "properties"),
        path,
        findings,
    );
    let properties = schema["properties"].as_object();
    for (name, value) in fields {
        if properties.is_some_and(|properties| properties.contains_key(name)) {
            continue;
        }
        if let Some(schema) = additional(schema) {
            findings.merge(check_value(schema, value, &format!("{path}.{name}")));
        } else if schema.get("additionalProperties") == Some(&Value::Bool(false)) {
            let detail = format!("{path}.{name} in body is a forbidden property");
            findings.push(Problem::invalid(path, name.as_str(), &detail));
        }
    }
    for (name, schema) in properties.into_iter().flatten() {
        if let Some(value) = fields.get(name) {
            findings.merge(check_value(schema, value, &below(path, name)));
        }
    }
    for name in list(schema, "required").iter().filter_map(Value::as_str) {
        if !fields.contains_key(name) {
            findings.push(Problem::required(&below(path, name), ""));
        }
    }
}

fn check_count(
    schema: &Value,
    count: usize,
    (min, max, what): (&str, &str, &str),
    path: &str,
    findings: &mut Findings,
) {
    if let Some(min) = schema[min].as_i64().filter(|min| as_i64(count) < *min) {
        findings.invalid(path, count, &format!("should have at least {min} {what}"));
    }
    if let Some(max) = schema[max].as_i64().filter(|max| as_i64(count) > *max) {
        findings.push(Problem::too_many(path, count, max));
    }
}

fn as_i64(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
