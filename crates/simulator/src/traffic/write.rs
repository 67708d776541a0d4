//! Writes traces.

use std::fmt::Write as _;

use jiff::Timestamp;

/// The unit of the values of a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// The number of requests of a second.
    Requests,
    /// The mean arrival rate in requests per second.
    RequestsPerSecond,
}

/// Writes a trace of these values, one per second; `None` is unknown. `start` is the time of the first second.
pub fn write_trace(unit: Unit, values: &[Option<f64>], start: Timestamp) -> String {
    let (column, step) = match unit {
        Unit::Requests => ("requests", 1),
        Unit::RequestsPerSecond => ("requests_per_second", step(values)),
    };
    let mut text = format!("t_seconds,{column},time\n");
    for (second, value) in values.iter().enumerate().step_by(step) {
        let value = value.map(|value| rounded(value).to_string());
        let time = (second == 0).then(|| start.to_string());
        // Writing to a String cannot fail.
        writeln!(
            text,
            "{second},{},{}",
            value.unwrap_or_default(),
            time.unwrap_or_default()
        )
        .unwrap_or_default();
    }
    text
}

/// Returns the largest number of seconds after which the value may change, everywhere in the trace. A trace of one line
/// would last one second, and needs at least two.
fn step(values: &[Option<f64>]) -> usize {
    let changes = values.windows(2).enumerate();
    let changes = changes.filter(|(_, pair)| pair[0] != pair[1]);
    let common = changes.fold(values.len(), |common, (index, _)| gcd(common, index + 1));
    if common == values.len() { 1 } else { common }
}

fn gcd(one: usize, other: usize) -> usize {
    if other == 0 {
        one
    } else {
        gcd(other, one % other)
    }
}

/// Rounds an arrival rate to four decimals, as in a trace.
pub fn rounded(value: f64) -> f64 {
    (value * 1e4).round() / 1e4
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::traffic::{Traffic, parse_trace};

    fn start() -> Timestamp {
        "2026-01-05T08:00:00Z".parse().unwrap()
    }

    #[test]
    fn a_written_trace_reads_the_same() {
        for lengths in [[10, 20, 10], [15, 15, 30], [1, 2, 7], [60, 60, 61]] {
            let mut values = Vec::new();
            for (value, length) in [Some(1.5), Some(3.25), Some(2.0)].into_iter().zip(lengths) {
                values.extend(vec![value; length]);
            }
            let text = write_trace(Unit::RequestsPerSecond, &values, start());
            let read = parse_trace("written", &text).unwrap();
            assert_eq!(read.start, Some(start()));
            let expected: Vec<f64> = values.iter().flatten().copied().collect();
            assert_eq!(read.traffic, Traffic::Rates(expected), "{text}");
        }
    }

    #[test]
    fn a_constant_rate_keeps_its_length() {
        let text = write_trace(Unit::RequestsPerSecond, &[Some(2.0); 7], start());
        assert_eq!(parse_trace("written", &text).unwrap().traffic.seconds(), 7);
    }

    #[test]
    fn unknown_counts_are_empty() {
        let text = write_trace(Unit::Requests, &[Some(2.0), None], start());
        assert_eq!(
            text,
            "t_seconds,requests,time\n0,2,2026-01-05T08:00:00Z\n1,,\n"
        );
    }
}
