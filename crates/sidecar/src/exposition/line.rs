//! One line: a sample, or what is wrong with it.

use std::fmt;
use std::str;

use super::labels::{self, Labels};
use super::text::{METRIC, name_end, trim_start};

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
    /// It is not UTF-8.
    Encoding,
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
            Problem::Encoding => "it is not UTF-8",
            Problem::Name => "it does not begin with a metric's name",
            Problem::Labels => "its labels cannot be read",
            Problem::Value => "its value is no number",
            Problem::Timestamp => "its timestamp is no whole number",
            Problem::Trailing => "something follows that should not",
        };
        write!(f, "line {}: {problem}", self.number)
    }
}

/// Reads a line; `None` if it is blank or a comment.
pub(super) fn read(line: &[u8], number: usize) -> Result<Option<Sample<'_>>, BadLine> {
    let bad = |problem| BadLine { number, problem };
    let line = trim_start(str::from_utf8(line).map_err(|_| bad(Problem::Encoding))?);
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    let end = name_end(line, METRIC).ok_or(bad(Problem::Name))?;
    let (name, rest) = line.split_at(end);
    let (labels, rest) = match trim_start(rest).strip_prefix('{') {
        Some(inside) => labels::split(inside).ok_or(bad(Problem::Labels))?,
        None if rest.starts_with([' ', '\t']) => (Labels::NONE, rest),
        None if rest.is_empty() => return Err(bad(Problem::Value)),
        None => return Err(bad(Problem::Name)),
    };
    let (value, rest) = word(rest);
    // As Go writes and reads it: digits with exponent, `NaN`, `Inf`, `+Inf`, `-Inf`.
    let value = value.parse().map_err(|_| bad(Problem::Value))?;
    let (timestamp, rest) = word(rest);
    let timestamp_ms = if timestamp.is_empty() {
        None
    } else {
        Some(timestamp.parse().map_err(|_| bad(Problem::Timestamp))?)
    };
    if !trim_start(rest).is_empty() {
        return Err(bad(Problem::Trailing));
    }
    Ok(Some(Sample {
        name,
        labels,
        value,
        timestamp_ms,
    }))
}

/// The next word and what follows it; empty at the end of the line.
fn word(text: &str) -> (&str, &str) {
    let text = trim_start(text);
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let end = text.as_bytes().iter().position(blank);
    text.split_at(end.unwrap_or(text.len()))
}
