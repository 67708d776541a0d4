//! CSV files: each line is a request, or the number or the rate of requests from its time on.

use std::io::Read;

use csv::{ErrorKind, ReaderBuilder, StringRecord};
use pushscale_simulator::InputError;
use pushscale_simulator::traffic::MAX_REQUESTS_PER_SECOND;

use super::input::{BoundedRecords, quoted, wrong_file, wrong_line};
use super::requests::Requests;
use super::series::{Samples, Span};
use super::time;

/// Headers of the column with the time, without regard to case.
const TIMES: [&str; 3] = ["time", "timestamp", "date"];

/// Headers of the column with the number of requests.
const COUNTS: [&str; 2] = ["requests", "count"];

/// Headers of the column with the arrival rate.
const RATES: [&str; 2] = ["requests_per_second", "rate"];

/// The most requests of a day.
const MAX_VALUE: f64 = MAX_REQUESTS_PER_SECOND as f64 * 86_400.0;

/// The columns that the user names. A column is a header, or its number from 1.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ColumnNames<'a> {
    pub(super) time: Option<&'a str>,
    pub(super) count: Option<&'a str>,
    pub(super) rate: Option<&'a str>,
}

/// What the lines of a table mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    Request,
    Count,
    Rate,
}

/// The columns of a table, counted from 0.
#[derive(Clone, Copy, Debug)]
struct Columns {
    time: usize,
    value: Option<usize>,
    meaning: Meaning,
}

/// What the tables have so far.
#[derive(Debug, Default)]
pub(super) struct Tables {
    pub(super) requests: Requests,
    pub(super) samples: Samples,
    /// The meaning of the first table; the others must have the same.
    pub(super) meaning: Option<Meaning>,
    span: Span,
}

impl Tables {
    /// Reads a table.
    pub(super) fn read(
        &mut self,
        name: &str,
        table: impl Read,
        names: ColumnNames<'_>,
    ) -> Result<(), InputError> {
        let (table, budget) = BoundedRecords::new(table);
        let mut reader = ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .from_reader(table);
        let mut record = StringRecord::new();
        let mut columns = None;
        loop {
            budget.reset();
            let line = reader.position().line();
            match reader.read_record(&mut record) {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => return Err(invalid(name, line, &error)),
            }
            let line = record.position().map_or(line, csv::Position::line);
            let wrong = |problem: String| wrong_line(name, line, problem);
            let Some(columns) = columns else {
                let (found, is_header) = Columns::find(&record, names).map_err(wrong)?;
                if *self.meaning.get_or_insert(found.meaning) != found.meaning {
                    let problem = "its columns differ in meaning from those of the earlier files: import it separately";
                    return Err(wrong(problem.to_owned()));
                }
                columns = Some(found);
                if !is_header {
                    self.add(found, &record).map_err(wrong)?;
                }
                continue;
            };
            self.add(columns, &record).map_err(wrong)?;
        }
        if columns.is_none() {
            return Err(wrong_file(name, "it is empty"));
        }
        Ok(())
    }

    fn add(&mut self, columns: Columns, record: &StringRecord) -> Result<(), String> {
        let field = |column: usize| {
            record.get(column).ok_or_else(|| {
                format!(
                    "it has {} columns, and column {} is needed: check that a comma separates them",
                    record.len(),
                    column + 1
                )
            })
        };
        let text = field(columns.time)?;
        let second = time::parse(text)
            .ok_or_else(|| format!("{} is not a time: use {}", quoted(text), time::FORMS))?;
        let Some(value) = columns.value else {
            return self.requests.add(second);
        };
        self.span.include(second)?;
        let Some(value) = parse_value(field(value)?)? else {
            return Ok(());
        };
        if columns.meaning == Meaning::Rate && self.samples.contains_key(&second) {
            return Err(
                "this second already has a rate: add up the rates of several series first"
                    .to_owned(),
            );
        }
        *self.samples.entry(second).or_default() += value;
        Ok(())
    }
}

/// Parses a number of requests, or a rate; `None` if it is unknown.
fn parse_value(text: &str) -> Result<Option<f64>, String> {
    let text = text.trim();
    if text.is_empty() || text.eq_ignore_ascii_case("nan") {
        return Ok(None);
    }
    match text.parse::<f64>() {
        Ok(value) if (0.0..=MAX_VALUE).contains(&value) => Ok(Some(value)),
        _ => Err(format!(
            "{} is not a number of requests: it must be a number of at least 0, or empty if it is unknown",
            quoted(text)
        )),
    }
}

impl Columns {
    /// Finds the columns by the first line, and returns whether that is a header: none of its fields is a time.
    fn find(first: &StringRecord, names: ColumnNames<'_>) -> Result<(Self, bool), String> {
        let is_header = !first.iter().any(|field| time::parse(field).is_some());
        let named = |wanted: &[&str]| {
            let is_wanted = |field: &str| {
                wanted
                    .iter()
                    .any(|name| field.trim().eq_ignore_ascii_case(name))
            };
            is_header
                .then(|| first.iter().position(is_wanted))
                .flatten()
        };
        let chosen = |name: &str| {
            if let Some(column) = named(&[name]) {
                return Ok(column);
            }
            match name.parse::<usize>() {
                Ok(number) if (1..=first.len()).contains(&number) => Ok(number - 1),
                _ => Err(format!(
                    "no column {name:?}: the first line is {}; name a column by its header or by its number from 1",
                    quoted(&first.iter().collect::<Vec<_>>().join(","))
                )),
            }
        };
        let time = match names.time {
            Some(name) => chosen(name)?,
            None => named(&TIMES).unwrap_or(0),
        };
        let (value, meaning) = match (names.count, names.rate) {
            (Some(name), _) => (Some(chosen(name)?), Meaning::Count),
            (None, Some(name)) => (Some(chosen(name)?), Meaning::Rate),
            (None, None) => match (named(&COUNTS), named(&RATES)) {
                (Some(column), _) => (Some(column), Meaning::Count),
                (None, Some(column)) => (Some(column), Meaning::Rate),
                (None, None) => (None, Meaning::Request),
            },
        };
        let columns = Self {
            time,
            value,
            meaning,
        };
        Ok((columns, is_header))
    }
}

fn invalid(name: &str, line: u64, error: &csv::Error) -> InputError {
    match error.kind() {
        ErrorKind::Io(error) if error.kind() != std::io::ErrorKind::InvalidData => {
            wrong_file(name, error.to_string())
        }
        ErrorKind::Io(error) => wrong_line(name, line, error.to_string()),
        ErrorKind::Utf8 { .. } => wrong_line(name, line, "it is not UTF-8: convert the file"),
        _ => wrong_line(name, line, error.to_string()),
    }
}
