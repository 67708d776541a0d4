//! Recorded loads.
//!
//! A trace is CSV with a header. With the columns `t_seconds,requests`, each second from 0 has a line with the number
//! of requests that arrived in it:
//!
//! ```csv
//! t_seconds,requests
//! 0,42
//! 1,54
//! ```
//!
//! With `t_seconds,requests_per_second`, a line has the mean arrival rate from its second until the next line; the last
//! line lasts as long as the one before.
//!
//! An empty number is unknown. A third column, `time`, may have the time of the first second; other columns are
//! ignored.

use std::fs;
use std::ops::Range;
use std::path::Path;

use jiff::{SignedDuration, Timestamp};

use super::Traffic;
use super::estimate::estimate;
use crate::input_errors::InputErrors;
use crate::quantity::{self, MAX_REQUESTS_PER_SECOND, MAX_SECONDS, number};

/// The column with the seconds from the start, which is the first one.
const SECONDS: &str = "t_seconds";

/// The column with the number of requests of each second.
const COUNTS: &str = "requests";

/// The column with the mean arrival rate until the next line.
const RATES: &str = "requests_per_second";

/// The column with the time of the first second.
const TIME: &str = "time";

/// Maximum size of a trace, in bytes. A trace of a month is smaller.
const MAX_FILE_BYTES: u64 = 64 << 20;

/// A recorded load.
#[derive(Clone, Debug, PartialEq)]
pub struct Trace {
    /// The arrivals of each second, with an estimate of the unknown ones.
    pub traffic: Traffic,
    /// Seconds whose arrivals are unknown.
    pub unknown: Vec<Range<usize>>,
    /// The time of the first second.
    pub start: Option<Timestamp>,
}

impl Trace {
    pub(crate) fn of_rates(rates: Vec<f64>) -> Self {
        Self {
            traffic: Traffic::Rates(rates),
            unknown: Vec::new(),
            start: None,
        }
    }

    /// Returns these seconds of the trace. They must exist.
    pub(crate) fn part(&self, seconds: Range<usize>) -> Self {
        let skipped = i64::try_from(seconds.start).ok();
        let start = self.start.zip(skipped).and_then(|(start, skipped)| {
            start.checked_add(SignedDuration::from_secs(skipped)).ok()
        });
        let unknown = self.unknown.iter().map(|gap| {
            let until = gap.end.min(seconds.end);
            gap.start.max(seconds.start)..until
        });
        let unknown = unknown.filter(|gap| gap.start < gap.end);
        let unknown = unknown.map(|gap| gap.start - seconds.start..gap.end - seconds.start);
        Self {
            unknown: unknown.collect(),
            traffic: match &self.traffic {
                Traffic::Rates(rates) => Traffic::Rates(rates[seconds.clone()].to_vec()),
                Traffic::Counts(counts) => Traffic::Counts(counts[seconds.clone()].to_vec()),
            },
            start,
        }
    }
}

/// Reads a trace from a file.
///
/// # Errors
/// The file cannot be read, or is not a valid trace.
pub fn read_trace(file: &Path) -> Result<Trace, InputErrors> {
    let name = file.display().to_string();
    let unreadable = |error: std::io::Error| InputErrors::one(name.as_str(), error.to_string());
    let size = fs::metadata(file).map_err(unreadable)?.len();
    if size > MAX_FILE_BYTES {
        let problem =
            format!("it has {size} bytes: a trace of a month has less than {MAX_FILE_BYTES}");
        return Err(InputErrors::one(name, problem));
    }
    let text = fs::read_to_string(file).map_err(unreadable)?;
    parse_trace(&name, &text)
}

/// Parses the text of a trace. Error messages use `name`.
///
/// # Errors
/// The text is not a valid trace. The error lists all invalid lines.
pub fn parse_trace(name: &str, text: &str) -> Result<Trace, InputErrors> {
    let mut lines = text.lines();
    let Some(header) = lines.next() else {
        let problem = format!("it is empty: it must begin with the header {SECONDS},{COUNTS}");
        return Err(InputErrors::one(name, problem));
    };
    let Some(columns) = Columns::parse(header) else {
        let problem = format!(
            "the first line is {}: it must be the header {SECONDS},{COUNTS} or {SECONDS},{RATES}",
            shortened(header)
        );
        return Err(InputErrors::one(format!("{name}:1"), problem));
    };
    let mut parser = Parser {
        name,
        columns,
        line: 1,
        next: 0,
        step: 1,
        values: Vec::new(),
        start: None,
        errors: InputErrors(Vec::new()),
    };
    for line in lines {
        parser.line += 1;
        parser.add(line);
    }
    parser.finish()
}

/// The columns of a trace.
#[derive(Clone, Copy, Debug)]
struct Columns {
    number: usize,
    is_rate: bool,
    /// The column of the number. That of the seconds is the first one.
    value: usize,
    time: Option<usize>,
}

impl Columns {
    /// Parses a header.
    fn parse(header: &str) -> Option<Self> {
        let names: Vec<&str> = header.split(',').collect();
        let column = |wanted: &str| names.iter().position(|name| *name == wanted);
        let (value, is_rate) = match (column(COUNTS), column(RATES)) {
            (Some(value), None) => (value, false),
            (None, Some(value)) => (value, true),
            _ => return None,
        };
        (column(SECONDS) == Some(0)).then_some(Self {
            number: names.len(),
            is_rate,
            value,
            time: column(TIME),
        })
    }
}

/// A trace of which some lines are parsed.
struct Parser<'a> {
    name: &'a str,
    columns: Columns,
    /// The number of the line.
    line: usize,
    /// The first second that has no value yet.
    next: usize,
    /// The seconds between the last two lines.
    step: usize,
    /// The number of each second; `None` is unknown.
    values: Vec<Option<f64>>,
    start: Option<Timestamp>,
    errors: InputErrors,
}

impl Parser<'_> {
    fn add(&mut self, line: &str) {
        let fields: Vec<&str> = line.split(',').collect();
        let column = if self.columns.is_rate { RATES } else { COUNTS };
        if fields.len() != self.columns.number {
            let problem = if fields.len() == 1 {
                format!(
                    "{} has no comma: it must be {},{}",
                    shortened(line),
                    self.next,
                    column.to_uppercase()
                )
            } else {
                format!(
                    "{} has {} fields: the header has {}",
                    shortened(line),
                    fields.len(),
                    self.columns.number
                )
            };
            self.wrong(problem);
            self.push(None, self.next);
            return;
        }
        let second = self.second(fields[0]);
        if let Some(time) = self.columns.time
            && self.line == 2
        {
            self.start(fields[time]);
        }
        let value = self.value(fields[self.columns.value]);
        self.push(value, second.unwrap_or(self.next));
    }

    /// Parses the second of a line. Lines after a gap are not reported again.
    fn second(&mut self, text: &str) -> Option<usize> {
        let expected = self.next;
        let is_rate = self.columns.is_rate;
        match text.parse::<usize>() {
            Ok(found) if found == expected => Some(found),
            Ok(found) if is_rate && found > MAX_SECONDS => {
                self.wrong(format!(
                    "found second {found}, expected second {expected}: seconds count from the first line, and a month has {MAX_SECONDS}"
                ));
                None
            }
            Ok(found) if is_rate && found > expected && expected > 0 => Some(found),
            Ok(found) => {
                let rule = if is_rate {
                    "they begin with 0 and increase"
                } else {
                    "each second has a line, with 0 requests if none arrived, and no number if unknown"
                };
                self.wrong(format!(
                    "found second {found}, expected second {expected}: {rule}"
                ));
                Some(found)
            }
            Err(_) => {
                let problem = format!("the second is {}: it must be {expected}", shortened(text));
                self.wrong(problem);
                None
            }
        }
    }

    fn start(&mut self, text: &str) {
        match text.parse() {
            Ok(time) => self.start = Some(time),
            Err(_) if text.is_empty() => {}
            Err(_) => {
                let found = shortened(text);
                self.wrong(format!(
                    "the time is {found}: it must be a time, such as 2026-01-05T08:00:00Z"
                ));
            }
        }
    }

    /// Parses a number; `None` if it is unknown or wrong.
    fn value(&mut self, text: &str) -> Option<f64> {
        if text.is_empty() {
            return None;
        }
        let most = f64::from(MAX_REQUESTS_PER_SECOND);
        let (value, expected) = if self.columns.is_rate {
            (
                number(text),
                format!("a number from 0 to {MAX_REQUESTS_PER_SECOND}"),
            )
        } else {
            let count = text.parse::<u32>().ok().map(f64::from);
            (
                count,
                format!("a whole number from 0 to {MAX_REQUESTS_PER_SECOND}"),
            )
        };
        let value = value.filter(|value| *value <= most);
        if value.is_none() {
            let what = if self.columns.is_rate {
                "the arrival rate"
            } else {
                "the number of requests"
            };
            self.wrong(format!(
                "{what} is {}: it must be {expected}",
                shortened(text)
            ));
        }
        value
    }

    /// Adds the value of a second. A rate has lasted since the line before.
    fn push(&mut self, value: Option<f64>, second: usize) {
        let last = self.values.last().copied().flatten();
        if self.columns.is_rate && second > self.next {
            self.step = second + 1 - self.next;
            self.values.resize(second.min(MAX_SECONDS), last);
        } else if self.values.len() > 1 {
            self.step = 1;
        }
        if self.values.len() <= MAX_SECONDS {
            self.values.push(value);
        }
        self.next = second.saturating_add(1);
    }

    fn wrong(&mut self, problem: String) {
        self.errors
            .add(format!("{}:{}", self.name, self.line), problem);
    }

    fn finish(mut self) -> Result<Trace, InputErrors> {
        let name = self.name;
        if self.errors.0.is_empty() && self.columns.is_rate {
            let last = self.values.last().copied().flatten();
            self.values.resize(self.values.len() + self.step - 1, last);
        }
        if self.errors.0.is_empty() {
            if self.values.is_empty() {
                let problem = "it has no data: a line for each second must follow the header";
                self.errors.add(name, problem);
            } else if self.values.len() > MAX_SECONDS {
                let problem = format!(
                    "it has {} seconds: a month has {MAX_SECONDS}",
                    self.values.len()
                );
                self.errors.add(name, problem);
            } else if self.values.iter().all(Option::is_none) {
                let problem = "all its arrivals are unknown: at least one line must have a number";
                self.errors.add(name, problem);
            }
        }
        if !self.errors.0.is_empty() {
            return Err(self.errors);
        }
        let (rates, unknown) = estimate(&self.values);
        Ok(Trace {
            traffic: if self.columns.is_rate {
                Traffic::Rates(rates)
            } else {
                Traffic::Counts(whole(&rates))
            },
            unknown,
            start: self.start,
        })
    }
}

/// Rounds to whole numbers whose sum is that of the rates. Whole numbers stay as they are.
fn whole(rates: &[f64]) -> Vec<u32> {
    let mut rest = 0.0;
    let count = |rate: &f64| {
        let sum = rate + rest;
        let count = sum.round();
        rest = sum - count;
        quantity::to_u32_saturating(count)
    };
    rates.iter().map(count).collect()
}

/// Quotes and shortens a text, so that an error message is one line.
fn shortened(text: &str) -> String {
    const MAX_CHARS: usize = 40;
    if text.chars().count() <= MAX_CHARS {
        return format!("{text:?}");
    }
    let start: String = text.chars().take(MAX_CHARS).collect();
    format!("{start:?}…")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Trace {
        parse_trace("trace.csv", text).unwrap()
    }

    #[test]
    fn unknown_counts_are_estimated_and_their_sum_is_kept() {
        let trace = parsed("t_seconds,requests,time\n0,2,2026-01-05T08:00:00Z\n1,,\n2,,\n3,3,\n");
        assert_eq!(trace.traffic, Traffic::Counts(vec![2, 2, 3, 3]));
        assert_eq!(trace.unknown, std::slice::from_ref(&(1..3)));
        assert_eq!(trace.start, "2026-01-05T08:00:00Z".parse().ok());
    }

    #[test]
    fn a_rate_lasts_until_the_next_line_and_the_last_one_as_long_as_the_one_before() {
        let text = "t_seconds,requests_per_second,replicas\n0,1.5,2\n2,,3\n5,4,2\n9,8,2\n";
        let trace = parsed(text);
        // From 1.5 to the mean of the minute after the gap, which is 6.
        let rates = vec![
            1.5, 1.5, 2.25, 3.75, 5.25, 4.0, 4.0, 4.0, 4.0, 8.0, 8.0, 8.0, 8.0,
        ];
        assert_eq!(trace.traffic, Traffic::Rates(rates));
        assert_eq!(trace.unknown, std::slice::from_ref(&(2..5)));
    }

    #[test]
    fn a_part_has_its_own_start_and_gaps() {
        let text = "t_seconds,requests,time\n0,1,2026-01-05T08:00:00Z\n1,,\n2,,\n3,3,\n4,,\n";
        let part = parsed(text).part(2..4);
        assert_eq!(part.unknown, std::slice::from_ref(&(0..1)));
        assert_eq!(part.traffic.seconds(), 2);
        assert_eq!(part.start, "2026-01-05T08:00:02Z".parse().ok());
    }
}
