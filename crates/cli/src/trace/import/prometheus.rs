//! The result of a Prometheus range query, as `/api/v1/query_range` returns it.

use std::collections::BTreeMap;
use std::io::Read;

use pushscale_simulator::InputError;
use serde::Deserialize;
use serde_json::Deserializer;

use super::input::{quoted, wrong_file, wrong_line};
use super::series::{Durations, Samples, Span};
use super::time::epoch_seconds;

/// Maximum bytes of a result. Prometheus returns at most 11,000 values of a series.
const MAX_BYTES: u64 = 64 << 20;

/// A response of Prometheus.
#[derive(Deserialize)]
struct Response {
    status: String,
    error: Option<String>,
    data: Option<Data>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Data {
    result_type: String,
    result: Vec<ResultSeries>,
}

#[derive(Deserialize)]
struct ResultSeries {
    #[serde(default)]
    metric: BTreeMap<String, String>,
    #[serde(default)]
    values: Vec<(f64, String)>,
}

/// Series by their labels. Files of consecutive times continue each other's series.
#[derive(Debug, Default)]
pub(super) struct RangeQueries {
    series: BTreeMap<BTreeMap<String, String>, Samples>,
    span: Span,
}

impl RangeQueries {
    /// Reads a result.
    pub(super) fn read(&mut self, name: &str, json: impl Read) -> Result<(), InputError> {
        let mut bytes = Vec::new();
        let read = json.take(MAX_BYTES + 1).read_to_end(&mut bytes);
        read.map_err(|error| wrong_file(name, error.to_string()))?;
        if bytes.len() as u64 > MAX_BYTES {
            let problem = format!(
                "it has more than {MAX_BYTES} bytes: sum the series in the query, or use a longer step"
            );
            return Err(wrong_file(name, problem));
        }
        let mut json = Deserializer::from_slice(&bytes);
        let response: Response = serde_path_to_error::deserialize(&mut json).map_err(|error| {
            let line = error.inner().line().max(1) as u64;
            let problem = error.inner().to_string();
            let problem = problem
                .split_once(" at line ")
                .map_or(problem.as_str(), |(problem, _)| problem);
            let problem = format!(
                "{}: {problem}; it must be a response of Prometheus' /api/v1/query_range",
                error.path()
            );
            wrong_line(name, line, problem)
        })?;
        let wrong = |problem: String| wrong_file(name, problem);
        if response.status != "success" {
            let error = response.error.unwrap_or_default();
            return Err(wrong(format!(
                "the query failed: status {}, {}",
                quoted(&response.status),
                quoted(&error)
            )));
        }
        let data = response
            .data
            .ok_or_else(|| wrong("it has no data".to_owned()))?;
        if data.result_type != "matrix" {
            return Err(wrong(format!(
                "the result is a {}: use /api/v1/query_range, whose result is a matrix",
                quoted(&data.result_type)
            )));
        }
        if data.result.is_empty() {
            return Err(wrong(
                "the result has no series: check the query and its times".to_owned(),
            ));
        }
        for series in data.result {
            let labels = quoted(&labels(&series.metric));
            let samples = self.series.entry(series.metric).or_default();
            if series.values.is_empty() {
                return Err(wrong(format!(
                    "series {labels} has no values: histograms cannot be imported"
                )));
            }
            for (at, value) in series.values {
                let wrong = |problem: &str| {
                    wrong_file(name, format!("series {labels}, time {at}: {problem}"))
                };
                let second = epoch_seconds(at).ok_or_else(|| wrong("not a time since 1970"))?;
                self.span
                    .include(second)
                    .map_err(|problem| wrong(&problem))?;
                match value.parse::<f64>() {
                    Ok(value) if value.is_nan() => {}
                    Ok(value) if value.is_finite() && value >= 0.0 => {
                        samples.insert(second, value);
                    }
                    _ => {
                        let problem = format!("{} must be a number of at least 0", quoted(&value));
                        return Err(wrong(&problem));
                    }
                }
            }
        }
        Ok(())
    }

    /// Returns the sum of all series. A series without a value counts as 0 while another one has a value.
    pub(super) fn sum(self) -> Samples {
        let mut sum = Samples::new();
        for (second, value) in self.series.into_values().flatten() {
            *sum.entry(second).or_default() += value;
        }
        sum
    }

    /// Returns the sum of the rates at which the counters increase. An increase across a gap is spread evenly over the
    /// times at which another counter has a rate; across a restart in a gap it is unknown.
    pub(super) fn sum_of_rates(self, gap: Option<i64>) -> Samples {
        let mut sum = Samples::new();
        let mut rates_of_gaps = Vec::new();
        for counter in self.series.into_values() {
            let Some(durations) = Durations::compute(counter.keys(), gap) else {
                continue;
            };
            for ((second, value), (next, after)) in counter.iter().zip(counter.iter().skip(1)) {
                let (is_gap, restarted) = (durations.is_gap(*second, *next), after < value);
                // A counter that restarts counts from 0.
                let increase = if restarted { *after } else { after - value };
                let rate = increase / (next - second) as f64;
                match (is_gap, restarted) {
                    (false, _) => *sum.entry(*second).or_default() += rate,
                    (true, false) => rates_of_gaps.push((*second..*next, rate)),
                    (true, true) => {}
                }
            }
        }
        for (gap, rate) in rates_of_gaps {
            for (_, total) in sum.range_mut(gap) {
                *total += rate;
            }
        }
        sum
    }
}

/// Formats labels as Prometheus does.
fn labels(metric: &BTreeMap<String, String>) -> String {
    let name = metric.get("__name__").map_or("", String::as_str);
    let labels = metric.iter().filter(|(label, _)| *label != "__name__");
    let labels: Vec<String> = labels
        .map(|(label, value)| format!("{label}={value:?}"))
        .collect();
    format!("{name}{{{}}}", labels.join(","))
}
