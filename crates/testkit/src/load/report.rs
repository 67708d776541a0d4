//! The result of a load.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::{Duration, Instant, SystemTime};

use super::summary::Times;
use super::{Outcome, Sample, Spread, StepStart, Summary};

/// The result of a load that has ended.
#[derive(Debug, Clone)]
pub struct LoadReport {
    /// The start of the load, to which all `start_s` refer.
    pub began: Instant,
    /// The same time on the system clock.
    pub began_system: SystemTime,
    /// All requests in order of departure, including those that were not sent.
    pub samples: Vec<Sample>,
    /// The steps in which at least one request was due, in order.
    pub steps: Vec<StepStart>,
    /// How much later than scheduled the requests departed.
    pub lateness: Spread,
}

/// The number of bad requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadRequests {
    /// Requests that failed or took longer than the limit.
    pub bad: usize,
    /// All requests.
    pub of: usize,
}

impl BadRequests {
    /// Returns the share of bad requests, 0 to 1; 0 if there were no requests.
    pub fn share(self) -> f64 {
        if self.of == 0 {
            return 0.0;
        }
        self.bad as f64 / self.of as f64
    }
}

impl LoadReport {
    /// Returns how many requests failed or took longer than `limit`.
    pub fn bad_requests(&self, limit: Duration) -> BadRequests {
        let bad = self.samples.iter().filter(|sample| sample.is_bad(limit));
        BadRequests {
            bad: bad.count(),
            of: self.samples.len(),
        }
    }

    /// Returns the summary for people and JSON.
    pub fn summary(&self) -> Summary {
        let mut by_outcome: BTreeMap<Outcome, Times> = BTreeMap::new();
        let mut seconds: f64 = 0.0;
        for sample in &self.samples {
            let times = by_outcome.entry(sample.outcome).or_insert_with(Times::new);
            times.record(sample.latency);
            seconds = seconds.max(sample.start_s + sample.latency.as_secs_f64());
        }
        let not_sent = by_outcome.get(&Outcome::NotSent);
        let not_sent = not_sent.map_or(0, |times| times.spread().n);
        Summary {
            sent: self.samples.len() as u64 - not_sent,
            not_sent,
            seconds: (seconds * 1000.0).round() / 1000.0,
            lateness: self.lateness,
            by_outcome: by_outcome
                .iter()
                .map(|(outcome, times)| (outcome.to_string(), times.spread()))
                .collect(),
            steps: self.steps.iter().map(StepStart::summary).collect(),
        }
    }

    /// Writes `start_s,latency_ms,outcome`, one line per request.
    ///
    /// # Errors
    /// `out` returned an error.
    pub fn write_csv(&self, mut out: impl Write) -> io::Result<()> {
        writeln!(out, "start_s,latency_ms,outcome")?;
        for sample in &self.samples {
            let latency = sample.latency.as_secs_f64() * 1000.0;
            writeln!(out, "{:.4},{latency:.2},{}", sample.start_s, sample.outcome)?;
        }
        out.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    fn report(samples: &[(f64, u64, Outcome)]) -> LoadReport {
        let sample = |&(start_s, ms, outcome): &(f64, u64, Outcome)| Sample {
            start_s,
            latency: Duration::from_millis(ms),
            outcome,
        };
        LoadReport {
            began: Instant::now(),
            began_system: UNIX_EPOCH,
            samples: samples.iter().map(sample).collect(),
            steps: vec![StepStart {
                step: 0,
                rate: 1.0,
                start_s: 0.25,
                monotonic: Instant::now(),
                system: UNIX_EPOCH + Duration::from_millis(1500),
            }],
            lateness: Times::new().spread(),
        }
    }

    #[test]
    fn failures_and_long_waits_count_as_harmed() {
        let samples = report(&[
            (0.0, 2000, Outcome::Status(200)),
            (1.0, 900, Outcome::Status(200)),
            (1.5, 1100, Outcome::Status(200)),
            (2.0, 3, Outcome::Status(503)),
            (2.5, 1, Outcome::Refused),
            (3.0, 1, Outcome::Timeout),
        ]);
        let limit = Duration::from_secs(1);
        let bad = samples.bad_requests(limit);
        assert_eq!(bad, BadRequests { bad: 5, of: 6 });
        assert_eq!(bad.share(), 5.0 / 6.0);
        assert_eq!(report(&[]).bad_requests(limit).share(), 0.0);
    }

    #[test]
    fn the_summary_is_json_in_camel_case_and_the_csv_has_a_line_per_request() {
        let report = report(&[
            (0.25, 100, Outcome::Status(200)),
            (1.25, 50, Outcome::Reset),
            (2.25, 0, Outcome::NotSent),
        ]);
        let json = serde_json::to_value(report.summary()).unwrap();
        assert_eq!(json["sent"], 2);
        assert_eq!(json["notSent"], 1);
        assert_eq!(json["seconds"], 2.25);
        assert_eq!(json["byOutcome"]["reset"]["n"], 1);
        assert_eq!(json["byOutcome"]["200"]["p99Ms"], 100.03);
        assert_eq!(json["steps"][0]["unixSeconds"], 1.5);
        let mut csv = Vec::new();
        report.write_csv(&mut csv).unwrap();
        assert_eq!(
            String::from_utf8(csv).unwrap(),
            "start_s,latency_ms,outcome\n\
             0.2500,100.00,200\n1.2500,50.00,reset\n2.2500,0.00,not-sent\n"
        );
    }
}
