//! One line: a sample, or what is wrong with it.

use std::fmt;
use std::str;

use super::labels::{self, Labels};
use super::trim_start;

/// One sample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample<'a> {
    /// The metric's name.
    pub name: &'a str,
    /// Its labels.
    pub labels: Labels<'a>,
    /// Its value; may be NaN or infinite.
    pub value: f64,
    /// Milliseconds since the epoch, if the line has them.
    pub timestamp_ms: Option<i64>,
}

/// A line that is not of the format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadLine {
    /// Its number, from 1.
    pub number: usize,
    /// What is wrong.
    pub problem: Problem,
}

/// What is wrong with a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Problem {
    /// It does not begin with a metric's name.
    Name,
    /// Its label set is not one.
    Labels,
    /// Its value is no number.
    Value,
    /// Its timestamp is no whole number.
    Timestamp,
    /// Something follows that should not.
    Trailing,
}

impl fmt::Display for BadLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let problem = match self.problem {
            Problem::Name => "it does not begin with a metric's name",
            Problem::Labels => "its labels cannot be read",
            Problem::Value => "its value is no number",
            Problem::Timestamp => "its timestamp is no whole number",
            Problem::Trailing => "something follows that should not",
        };
        write!(f, "line {}: {problem}", self.number)
    }
}

/// Reads a line that is neither blank nor a comment and does not begin with a blank.
pub(super) fn sample(line: &[u8], number: usize) -> Result<Sample<'_>, BadLine> {
    let bad = |problem| BadLine { number, problem };
    let (name, rest) = split_name(line).ok_or(bad(Problem::Name))?;
    let (labels, rest) = match trim_start(rest) {
        [b'{', inside @ ..] => labels::split(inside).ok_or(bad(Problem::Labels))?,
        _ if matches!(rest.first(), Some(b' ' | b'\t')) => (Labels::NONE, rest),
        [] => return Err(bad(Problem::Value)),
        _ => return Err(bad(Problem::Name)),
    };
    let (value, rest) = word(rest);
    let value = number_of(value).ok_or(bad(Problem::Value))?;
    let (timestamp, rest) = word(rest);
    let timestamp_ms = if timestamp.is_empty() {
        None
    } else {
        let text = str::from_utf8(timestamp).ok();
        let whole = text.and_then(|text| text.parse().ok());
        Some(whole.ok_or(bad(Problem::Timestamp))?)
    };
    if !trim_start(rest).is_empty() {
        return Err(bad(Problem::Trailing));
    }
    Ok(Sample {
        name,
        labels,
        value,
        timestamp_ms,
    })
}

/// `[a-zA-Z_:][a-zA-Z0-9_:]*`
fn split_name(line: &[u8]) -> Option<(&str, &[u8])> {
    let end = line
        .iter()
        .position(|byte| !(byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b':')))
        .unwrap_or(line.len());
    let (name, rest) = line.split_at(end);
    match name.first() {
        Some(first) if !first.is_ascii_digit() => Some((str::from_utf8(name).ok()?, rest)),
        _ => None,
    }
}

/// The next word and what follows it; empty at the end of the line.
fn word(text: &[u8]) -> (&[u8], &[u8]) {
    let text = trim_start(text);
    let end = text
        .iter()
        .position(|byte| matches!(byte, b' ' | b'\t'))
        .unwrap_or(text.len());
    text.split_at(end)
}

/// A double as Go writes and reads it: digits with exponent, `NaN`, `Inf`, `+Inf`, `-Inf`.
fn number_of(word: &[u8]) -> Option<f64> {
    str::from_utf8(word).ok()?.parse().ok()
}
