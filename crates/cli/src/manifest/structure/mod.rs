//! Types, bounds, patterns and the like, as kube-openapi checks them for the API server: in its order, for its
//! sentences stand in that order.

mod combine;
mod container;
mod number;
mod text;
mod type_;

use serde_json::Value;

use super::problem::{Found, Kind, Problem};
use super::schema::Schema;

/// All mistakes of an object.
pub(super) fn check(schema: &Schema, object: &Value) -> Vec<Problem> {
    check_value(schema, object, "").problems
}

/// What is found wrong with a value, and how much was found right: of several alternatives that all fail, the
/// mistakes of the one are told that fits best.
#[derive(Clone, Debug, Default)]
struct Findings {
    problems: Vec<Problem>,
    matched: usize,
}

impl Findings {
    fn of(problem: Problem) -> Self {
        Self {
            problems: vec![problem],
            matched: 0,
        }
    }

    fn matched(matched: usize) -> Self {
        Self {
            problems: Vec::new(),
            matched,
        }
    }

    /// Adds a mistake, once.
    fn push(&mut self, problem: Problem) {
        if !self.problems.contains(&problem) {
            self.problems.push(problem);
        }
    }

    fn merge(&mut self, other: Self) {
        other
            .problems
            .into_iter()
            .for_each(|problem| self.push(problem));
        self.matched += other.matched;
    }

    fn is_valid(&self) -> bool {
        self.problems.is_empty()
    }
}

fn check_value(schema: &Schema, value: &Value, path: &str) -> Findings {
    let mut findings = Findings::default();
    if value.is_null() {
        findings.merge(type_::check(schema, value, path));
        findings.merge(enumeration(schema, value, path));
        return findings;
    }
    if !schema.types().is_empty() || schema.enforced_format().is_some() {
        findings.merge(type_::check(schema, value, path));
        findings.matched += 1;
    }
    findings.merge(combine::check(schema, value, path));
    findings.matched += 1;
    match value {
        Value::String(text) => {
            findings.merge(text::check(schema, text, path));
            findings.matched += 1;
            if let Some(format) = schema.enforced_format() {
                findings.merge(text::check_format(format, text, path));
                findings.matched += 1;
            }
        }
        Value::Number(number) => {
            findings.merge(number::check(schema, number, path));
            findings.matched += 1;
        }
        Value::Array(items) => {
            findings.merge(container::check_list(schema, items, path));
            findings.matched += 1;
        }
        Value::Null | Value::Bool(_) | Value::Object(_) => {}
    }
    findings.merge(enumeration(schema, value, path));
    findings.matched += 1;
    if let Value::Object(fields) = value {
        findings.merge(container::check_object(schema, fields, path));
        findings.matched += 1;
    }
    findings.matched += 1;
    findings
}

fn enumeration(schema: &Schema, value: &Value, path: &str) -> Findings {
    if schema.enumeration.is_empty() || schema.enumeration.iter().any(|one| same(one, value)) {
        return Findings::default();
    }
    let supported: Vec<String> = schema
        .enumeration
        .iter()
        .map(|one| match one {
            Value::String(text) => super::go::quoted(text),
            other => super::go::quoted(&super::go::json(other)),
        })
        .collect();
    let detail = format!("supported values: {}", supported.join(", "));
    Findings::of(Problem::new(Kind::NotSupported, path, value, detail))
}

/// Go converts a number to the type of the one that it is compared with: 1.5 is among 1, 2 and 3. Its type is
/// told elsewhere.
fn same(supported: &Value, value: &Value) -> bool {
    match (supported, value) {
        (Value::Number(one), Value::Number(other)) if one.is_i64() => {
            one.as_f64() == other.as_f64().map(f64::trunc)
        }
        (Value::Number(one), Value::Number(other)) => one.as_f64() == other.as_f64(),
        _ => supported == value,
    }
}

/// A mistake of which the sentence repeats the path.
fn invalid(path: &str, found: impl Into<Found>, words: &str) -> Problem {
    Problem::invalid(path, found, format!("{path} in body {words}"))
}

/// A mistake of which the API server does not tell the field apart from the sentence.
fn loose(words: String) -> Problem {
    Problem::invalid("", "", words)
}
