//! Parses one line.

use std::fmt;
use std::str;

use super::labels::{self, Labels};
use super::text::{METRIC, name_end, trim_start};

/// One sample of a page.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample<'a> {
    /// The name of the metric.
    pub name: &'a str,
    /// The labels.
    pub labels: Labels<'a>,
    /// The value; may be NaN or infinite.
    pub value: f64,
    /// The timestamp in milliseconds since the Unix epoch, if the line has one.
    pub timestamp_ms: Option<i64>,
}

/// An invalid line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadLine {
    /// The line number, from 1.
    pub number: usize,
    /// Why the line is invalid.
    pub problem: Problem,
}

/// Why a line is invalid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Problem {
    /// The line is not UTF-8.
    Encoding,
    /// The line does not start with a metric name.
    Name,
    /// The label set is invalid.
    Labels,
    /// The value is not a number.
    Value,
    /// The timestamp is not an integer.
    Timestamp,
    /// There is text after the sample.
    Trailing,
}

impl fmt::Display for BadLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let problem = match self.problem {
            Problem::Encoding => "not UTF-8",
            Problem::Name => "invalid metric name",
            Problem::Labels => "invalid labels",
            Problem::Value => "invalid value",
            Problem::Timestamp => "invalid timestamp",
            Problem::Trailing => "unexpected text after the sample",
        };
        write!(f, "line {}: {problem}", self.number)
    }
}

/// Parses a line; returns `None` if it is blank or a comment.
pub(super) fn parse(line: &[u8], number: usize) -> Result<Option<Sample<'_>>, BadLine> {
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
    // Rust accepts Go's notation: digits with exponent, `NaN`, `Inf`, `+Inf`, `-Inf`.
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

/// Splits off the next word, which is empty at the end of the line.
fn word(text: &str) -> (&str, &str) {
    let text = trim_start(text);
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let end = text.as_bytes().iter().position(blank);
    text.split_at(end.unwrap_or(text.len()))
}
