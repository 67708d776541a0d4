//! The bounds of a number.

use serde_json::{Number, Value};

use super::super::go;
use super::super::schema::{Format, Schema, Type};
use super::{Findings, invalid, loose};

pub(super) fn check(schema: &Schema, number: &Number, path: &str) -> Findings {
    let mut findings = Findings::matched(1);
    let range = Range::of(schema);
    note(&mut findings, range.check(number, "Checked", path));
    let found = &Value::Number(number.clone());
    if let Some(factor) = schema.multiple_of {
        note_bound(&mut findings, &range, factor, "MultipleOf", path);
        if !is_multiple(number, factor) {
            let words = format!("should be a multiple of {}", bound(number, factor));
            findings.push(invalid(path, found, &words));
        }
    }
    if let Some(most) = schema.maximum {
        note_bound(&mut findings, &range, most, "Maximum boundary", path);
        let exclusive = schema.exclusive_maximum;
        if exceeds(number, most, exclusive) {
            let or_equal = if exclusive { "" } else { " or equal to" };
            let words = format!("should be less than{or_equal} {}", bound(number, most));
            findings.push(invalid(path, found, &words));
        }
    }
    if let Some(least) = schema.minimum {
        note_bound(&mut findings, &range, least, "Minimum boundary", path);
        let exclusive = schema.exclusive_minimum;
        if falls_short(number, least, exclusive) {
            let or_equal = if exclusive { "" } else { " or equal to" };
            let words = format!("should be greater than{or_equal} {}", bound(number, least));
            findings.push(invalid(path, found, &words));
        }
    }
    findings
}

/// What the type and its format can hold. Sentences about it are not tied to the field.
struct Range {
    type_: Option<Type>,
    format: Option<Format>,
}

impl Range {
    fn of(schema: &Schema) -> Self {
        Self {
            type_: schema.type_.filter(|_| !schema.int_or_string),
            format: schema.enforced_format(),
        }
    }

    fn check(&self, number: &Number, what: &str, path: &str) -> Option<String> {
        let holds = match (self.type_, self.format) {
            (Some(Type::Integer), Some(Format::Int32)) => number
                .as_i64()
                .is_some_and(|whole| i32::try_from(whole).is_ok()),
            (Some(Type::Integer), _) => number.is_i64(),
            (_, Some(Format::Float)) => number
                .as_f64()
                .is_some_and(|double| double.abs() <= f64::from(f32::MAX)),
            _ => true,
        };
        if holds {
            return None;
        }
        let type_ = self.type_.map_or("", Type::name);
        Some(match self.format {
            Some(format) => {
                let format = format.name();
                format!("{what} value must be of type {type_} with format {format} in {path}")
            }
            None => format!("{what} value must be of type {type_} (default format) in {path}"),
        })
    }
}

fn note(findings: &mut Findings, words: Option<String>) {
    if let Some(words) = words {
        findings.push(loose(words));
    }
}

/// A bound that the type cannot hold is the definition's mistake, and told with every value.
fn note_bound(findings: &mut Findings, range: &Range, bound: f64, what: &str, path: &str) {
    let number = whole(bound)
        .map(Number::from)
        .or_else(|| Number::from_f64(bound));
    if let Some(number) = number {
        note(findings, range.check(&number, what, path));
    }
}

fn exceeds(number: &Number, most: f64, exclusive: bool) -> bool {
    compare(number, most).is_some_and(|order| order.is_gt() || exclusive && order.is_eq())
}

fn falls_short(number: &Number, least: f64, exclusive: bool) -> bool {
    compare(number, least).is_some_and(|order| order.is_lt() || exclusive && order.is_eq())
}

/// Whole numbers are compared as such: a double does not hold them all.
fn compare(number: &Number, bound: f64) -> Option<std::cmp::Ordering> {
    match (number.as_i64(), whole(bound.trunc())) {
        (Some(number), Some(bound)) => Some(number.cmp(&bound)),
        _ => number.as_f64()?.partial_cmp(&bound),
    }
}

fn is_multiple(number: &Number, factor: f64) -> bool {
    match (number.as_i64(), whole(factor.trunc())) {
        (Some(number), Some(factor)) => number.checked_rem(factor) == Some(0),
        _ => number
            .as_f64()
            .is_some_and(|double| is_whole(double / factor)),
    }
}

/// Whether a double is as good as a whole number, and one that JavaScript holds.
pub(super) fn is_whole(double: f64) -> bool {
    const MOST: f64 = 9_007_199_254_740_991.0;
    let rounded = double.round();
    let difference = (double - rounded).abs();
    double.abs() <= MOST && (difference == 0.0 || difference < 1e-9 * rounded.abs())
}

/// A bound as it is told beside such a number.
fn bound(number: &Number, bound: f64) -> String {
    match whole(bound.trunc()).filter(|_| number.is_i64()) {
        Some(whole) => whole.to_string(),
        None => go::float(bound),
    }
}

/// The whole number that a double without a fraction is.
fn whole(double: f64) -> Option<i64> {
    // Rust writes a double without an exponent.
    double.to_string().parse().ok()
}
