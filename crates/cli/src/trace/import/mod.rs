//! `pushscale trace import`: traces from access logs, CSV files and Prometheus.
//!
//! A time without a value is a gap, in which the arrivals are unknown. Only in files with one line per request, a pause
//! up to a limit has no requests.

#![expect(
    clippy::print_stderr,
    reason = "the summary of the trace on the standard output"
)]

mod access_log;
mod input;
mod prometheus;
mod requests;
mod series;
mod table;
mod time;

use std::fmt::Write as _;
use std::io::BufRead;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use jiff::SignedDuration;
use pushscale_simulator::InputError;
use pushscale_simulator::traffic::{MAX_REQUESTS_PER_SECOND, gaps, rounded, write_trace};

use crate::CommandError;
use crate::output::print;
use input::wrong_file;
use prometheus::RangeQueries;
use requests::Requests;
use series::{Series, spread, time as format_time};
use table::{ColumnNames, Meaning, Tables};

/// The longest pause without a request that is not a gap, in seconds.
const REQUEST_GAP: i64 = 600;

/// Gaps that the summary lists.
const MAX_LISTED: usize = 10;

/// The options of `pushscale trace import`.
#[derive(Debug, Args)]
pub struct ImportOptions {
    /// Files of the same format, in any order; `-` reads standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The format of the files; default: prometheus for .json, csv for .csv, access-log for all others
    #[arg(long, value_name = "FORMAT")]
    format: Option<Format>,
    /// The trace to write; default: standard output
    #[arg(short, long, value_name = "TRACE.csv")]
    output: Option<PathBuf>,
    /// The longest time without a value that is not a gap; default: 10m in files with one line per request, otherwise
    /// the usual distance of the values
    #[arg(long, value_name = "DURATION")]
    gap: Option<SignedDuration>,
    #[command(flatten)]
    import: ImportSettings,
}

/// The options that belong to a format.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct ImportSettings {
    /// Access logs: count only the lines with this text
    #[arg(long = "match", value_name = "TEXT")]
    pub(crate) pattern: Option<String>,
    /// CSV: the column with the time, by its header or its number from 1; default: time, timestamp or date, otherwise
    /// the first one
    #[arg(long, value_name = "COLUMN")]
    pub(crate) time: Option<String>,
    /// CSV: the column with the number of requests from the time of the line until the next; default: requests or count
    #[arg(long, value_name = "COLUMN", conflicts_with = "rate")]
    pub(crate) count: Option<String>,
    /// CSV: the column with the requests per second from the time of the line on; default: requests_per_second or rate.
    /// Without either column, each line is a request
    #[arg(long, value_name = "COLUMN")]
    pub(crate) rate: Option<String>,
    /// Prometheus: the values are counters, not rates
    #[arg(long)]
    pub(crate) counter: bool,
}

/// The format of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// One line per request, with a time anywhere in it: Common Log Format, RFC 3339, or since 1970 at its start
    AccessLog,
    /// A table with a time per line, separated by commas
    Csv,
    /// The response of /api/v1/query_range. Several series are summed
    Prometheus,
}

impl Format {
    fn of_file(file: &Path) -> Self {
        match file.extension() {
            Some(extension) if extension.eq_ignore_ascii_case("json") => Self::Prometheus,
            Some(extension) if extension.eq_ignore_ascii_case("csv") => Self::Csv,
            _ => Self::AccessLog,
        }
    }
}

/// Imports the files, writes the trace and prints what is in it.
///
/// # Errors
/// If a file cannot be read or written, or is invalid.
pub(super) fn run(options: &ImportOptions) -> Result<ExitCode, CommandError> {
    let first = options
        .files
        .first()
        .map_or(Path::new("-"), PathBuf::as_path);
    let format = options.format.unwrap_or_else(|| Format::of_file(first));
    let gap = options.gap.map(|gap| gap.as_secs().max(1));
    let mut importer = Importer::new(format, options.import.clone(), gap);
    for file in &options.files {
        let name = file.display().to_string();
        importer.read(&name, crate::input::open(file)?)?;
    }
    let imported = importer.finish(&first.display().to_string())?;
    let output = options.output.as_deref();
    let summary = imported.summary(output);
    match output {
        Some(file) => {
            std::fs::write(file, &imported.trace).map_err(CommandError::write(file))?;
            print(&summary)?;
        }
        None => {
            print(&imported.trace)?;
            eprint!("{summary}");
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// An import of which some files are read.
pub(crate) struct Importer {
    format: Format,
    options: ImportSettings,
    /// The longest time without a value, in seconds, if the user sets it.
    gap: Option<i64>,
    requests: Requests,
    tables: Tables,
    queries: RangeQueries,
    left_out: u64,
}

/// A trace, and what the summary says about it.
pub(crate) struct Imported {
    pub(crate) trace: String,
    series: Series,
    left_out: u64,
    pattern: Option<String>,
    /// The longest pause that is not a gap, if there is one line per request.
    pause: Option<i64>,
}

impl Importer {
    pub(crate) fn new(format: Format, options: ImportSettings, gap: Option<i64>) -> Self {
        Self {
            format,
            options,
            gap,
            requests: Requests::default(),
            tables: Tables::default(),
            queries: RangeQueries::default(),
            left_out: 0,
        }
    }

    /// Reads a file. Error messages use `name`.
    ///
    /// # Errors
    /// The error names the line.
    pub(crate) fn read(&mut self, name: &str, text: impl BufRead) -> Result<(), InputError> {
        let options = &self.options;
        match self.format {
            Format::AccessLog => {
                let pattern = options.pattern.as_deref();
                self.left_out += access_log::read(name, text, pattern, &mut self.requests)?;
                Ok(())
            }
            Format::Csv => {
                let names = ColumnNames {
                    time: options.time.as_deref(),
                    count: options.count.as_deref(),
                    rate: options.rate.as_deref(),
                };
                self.tables.read(name, text, names)
            }
            Format::Prometheus => self.queries.read(name, text),
        }
    }

    /// Returns the trace of all files.
    ///
    /// # Errors
    /// If the files have no load, or one that cannot be simulated. The error names the first file.
    pub(crate) fn finish(self, name: &str) -> Result<Imported, InputError> {
        let gap = self.gap;
        let pause = gap.unwrap_or(REQUEST_GAP);
        let are_requests = match self.format {
            Format::AccessLog => true,
            Format::Csv => self.tables.meaning == Some(Meaning::Request),
            Format::Prometheus => false,
        };
        let series = match self.format {
            Format::AccessLog => self.requests.finish(pause).ok_or_else(|| {
                let why = if self.left_out > 0 {
                    "no line has the text of --match"
                } else {
                    "it has no lines"
                };
                why.to_owned()
            }),
            Format::Csv if are_requests => {
                let found = self.tables.requests.finish(pause);
                found.ok_or_else(|| "it has no lines below the header".to_owned())
            }
            Format::Csv => {
                let are_counts = self.tables.meaning == Some(Meaning::Count);
                spread(&self.tables.samples, are_counts, gap)
            }
            Format::Prometheus if self.options.counter => {
                spread(&self.queries.sum_of_rates(gap), false, gap)
            }
            Format::Prometheus => spread(&self.queries.sum(), false, gap),
        };
        let series = series.map_err(|problem| wrong_file(name, problem))?;
        let highest = series.values.iter().flatten().copied().fold(0.0, f64::max);
        if highest > f64::from(MAX_REQUESTS_PER_SECOND) {
            let problem = format!(
                "{highest:.0} requests per second: at most {MAX_REQUESTS_PER_SECOND} can be simulated; are the values counters (--counter)?"
            );
            return Err(wrong_file(name, problem));
        }
        Ok(Imported {
            trace: write_trace(series.unit, &series.values, format_time(series.start)),
            series,
            left_out: self.left_out,
            pattern: self.options.pattern,
            pause: are_requests.then_some(pause),
        })
    }
}

impl Imported {
    /// Describes the trace, its gaps, and how to simulate it.
    pub(crate) fn summary(&self, output: Option<&Path>) -> String {
        let values = &self.series.values;
        let known: Vec<f64> = values.iter().flatten().copied().collect();
        let requests: f64 = known.iter().sum();
        let mut text = String::new();
        let mut line = |words: String| {
            // Writing to a String cannot fail.
            writeln!(text, "{words}").unwrap_or_default();
        };
        line(format!(
            "{} s from {}: {requests:.0} requests, {:.2} per second, at most {} in a second",
            values.len(),
            format_time(self.series.start),
            requests / (known.len() as f64).max(1.0),
            rounded(known.iter().copied().fold(0.0, f64::max))
        ));
        if let Some(pattern) = self.pattern.as_ref().filter(|_| self.left_out > 0) {
            line(format!(
                "lines without {pattern:?}, which are left out: {}",
                self.left_out
            ));
        }
        let gaps = gaps(values);
        for gap in gaps.iter().take(MAX_LISTED) {
            let from = self.series.start + gap.start as i64;
            line(format!("gap: {} s from {}", gap.len(), format_time(from)));
        }
        if gaps.len() > MAX_LISTED {
            line(format!("gap: {} more", gaps.len() - MAX_LISTED));
        }
        if !gaps.is_empty() {
            line("the arrivals in a gap are unknown: the simulation interpolates them from the surrounding minutes".to_owned());
            if let Some(pause) = self.pause {
                line(format!(
                    "a gap is a pause of more than {pause} s; if no requests arrived in it, choose a longer one with --gap"
                ));
            }
        }
        if let Some(output) = output {
            line(format!(
                "next: pushscale simulate --trace {} --service 100ms --target 50ms",
                output.display()
            ));
        }
        text
    }
}
