//! `pushscale simulate --from`: the load of a PushScaler in the cluster, as its aggregator has recorded it.

use std::path::{Path, PathBuf};

use clap::Args;
use csv::ReaderBuilder;
use pushscale_api::PushScalerSpec;
use pushscale_simulator::scenario::Draft;
use pushscale_simulator::traffic::{Trace, parse_trace};
use serde::Deserialize;

use crate::CommandError;
use crate::cluster::{ClusterError, ClusterOptions, Connection};

/// The header, and two times ten seconds.
const MIN_LINES: usize = 3;

/// How long a line of the load history lasts.
const LINE_SECONDS: f64 = 10.0;

/// Which PushScaler to take the load from.
#[derive(Debug, Args)]
pub(crate) struct RecordOptions {
    /// Take the load of the last 24 hours, the service time, the workers and the start delay from this PushScaler in
    /// the cluster, and simulate its spec unless -f names another
    #[arg(long, value_name = "PUSHSCALER", conflicts_with_all = ["scenarios", "load", "trace"])]
    from: Option<String>,
    #[command(flatten)]
    cluster: ClusterOptions,
    /// The address of an aggregator's admin port, such as `http://127.0.0.1:8491`; default: the leader, through the API
    /// server's port-forward
    #[arg(long, value_name = "URL")]
    aggregator: Option<String>,
}

/// The load of a PushScaler in the cluster.
pub(super) struct Record {
    /// `NAMESPACE/NAME`.
    pub(super) name: String,
    pub(super) spec: PushScalerSpec,
    trace: Trace,
    /// The file that the load was saved to.
    file: Option<PathBuf>,
    measurements: Measurements,
    start_delay: Option<f64>,
}

/// A line of the load history. What is unknown is empty.
#[derive(Debug, Deserialize)]
struct Line {
    t_seconds: f64,
    requests_per_second: Option<f64>,
    service_seconds: Option<f64>,
    workers: Option<u32>,
    replicas: Option<u32>,
}

/// What the lines say about the servers.
#[derive(Debug, Default, PartialEq)]
struct Measurements {
    /// The mean service time of all requests, in seconds.
    service: Option<f64>,
    /// The workers of a pod at the end.
    workers: Option<u32>,
    /// The replicas at the start.
    pods: Option<u32>,
    /// The replicas, multiplied by the hours in which they are known.
    pod_hours: f64,
}

impl RecordOptions {
    /// Returns whether these options say where to read from, but not what. Clap's `requires` does not hold next to an
    /// option that conflicts with the required one.
    pub(super) fn is_incomplete(&self) -> bool {
        self.from.is_none() && (self.aggregator.is_some() || !self.cluster.is_default())
    }

    /// Reads the load history; `None` without `--from`. The load is saved next to the scenario that will be saved.
    pub(super) fn read(&self, save: Option<&Path>) -> Result<Option<Record>, CommandError> {
        let Some(name) = &self.from else {
            return Ok(None);
        };
        let runtime = tokio::runtime::Runtime::new().map_err(CommandError::Runtime)?;
        let (mut record, csv) = runtime.block_on(self.fetch(name))?;
        if let Some(scenario) = save {
            let file = scenario.with_extension("csv");
            std::fs::write(&file, csv).map_err(CommandError::write(&file))?;
            record.file = Some(file);
        }
        Ok(Some(record))
    }

    /// Returns the load history, and its load as CSV.
    async fn fetch(&self, name: &str) -> Result<(Record, String), ClusterError> {
        let cluster = self.cluster.connect().await?;
        let scaler = cluster.scaler(name).await?;
        let connection = Connection::open(&cluster, self.aggregator.as_deref()).await?;
        let view = connection.scaler(&cluster.namespace, name).await?;
        let page = connection
            .scaler_page(&cluster.namespace, name, "/load.csv")
            .await?;
        let name = format!("{}/{name}", cluster.namespace);
        let problem = |problem: String| ClusterError::Aggregator {
            aggregator: connection.name().to_owned(),
            path: format!("/debug/scalers/{name}/load.csv"),
            problem,
        };
        let csv = String::from_utf8(page.to_vec()).map_err(|error| problem(error.to_string()))?;
        if csv.lines().count() < MIN_LINES {
            return Err(problem(
                "not enough load is recorded yet: the record begins 30 s after the aggregator's start, and needs `algorithm: Model`".to_owned(),
            ));
        }
        let record = Record {
            trace: parse_trace("load.csv", &csv).map_err(|errors| problem(errors.to_string()))?,
            measurements: Measurements::parse(&csv).map_err(|error| problem(error.to_string()))?,
            file: None,
            name: name.clone(),
            spec: scaler.spec,
            start_delay: view.start_delay_seconds,
        };
        Ok((record, csv))
    }
}

impl Record {
    /// Returns the scenario's keys that the load history determines.
    fn keys(&self) -> Vec<(&'static str, String)> {
        let measurements = &self.measurements;
        let known = [
            ("name", Some(self.name.clone())),
            ("service", measurements.service.map(duration)),
            (
                "workers",
                measurements.workers.map(|workers| workers.to_string()),
            ),
            (
                "pods",
                measurements
                    .pods
                    .filter(|pods| *pods > 0)
                    .map(|pods| pods.to_string()),
            ),
            ("start-delay", self.start_delay.map(duration)),
        ];
        let known = known.into_iter();
        known
            .filter_map(|(key, value)| Some((key, value?)))
            .collect()
    }

    /// Describes the period, and what it cost.
    pub(super) fn notes(&self) -> Vec<String> {
        let seconds = self.trace.traffic.seconds();
        let start = self.trace.start.unwrap_or_default();
        let end = start + jiff::SignedDuration::from_secs(i64::try_from(seconds).unwrap_or(0));
        let mut notes = vec![format!(
            "load history: {start:.0} to {end:.0}; its replicas used {:.2} pod-hours",
            self.measurements.pod_hours
        )];
        let keys = self.keys();
        let measured = keys.iter().filter(|(key, _)| *key != "name");
        let measured: Vec<String> = measured
            .map(|(key, value)| format!("{key} {value}"))
            .collect();
        if !measured.is_empty() {
            notes.push(format!("measured: {}", measured.join(", ")));
        }
        notes
    }

    /// Sets the keys and the load.
    pub(super) fn fill(&self, draft: &mut Draft) {
        for (key, value) in self.keys() {
            draft.set("--from", key, &value);
        }
        match &self.file {
            Some(file) => draft.set("--from", "trace", &file.display().to_string()),
            None => draft.set_recorded(&self.name, self.trace.clone()),
        }
    }
}

impl Measurements {
    fn parse(csv: &str) -> Result<Self, csv::Error> {
        let mut reader = ReaderBuilder::new().from_reader(csv.as_bytes());
        let lines: Vec<Line> = reader.deserialize().collect::<Result<_, _>>()?;
        let (mut served, mut requests, mut pod_seconds) = (0.0, 0.0, 0.0);
        for (line, next) in lines
            .iter()
            .zip(lines.iter().skip(1).map(Some).chain([None]))
        {
            if let (Some(rate), Some(service)) = (line.requests_per_second, line.service_seconds) {
                served += rate * service;
                requests += rate;
            }
            let lasts = next.map_or(LINE_SECONDS, |next| next.t_seconds - line.t_seconds);
            pod_seconds += lasts * line.replicas.map_or(0.0, f64::from);
        }
        Ok(Self {
            service: (served > 0.0).then(|| served / requests),
            workers: lines.iter().rev().find_map(|line| line.workers),
            pods: lines.iter().find_map(|line| line.replicas),
            pod_hours: pod_seconds / 3600.0,
        })
    }
}

/// Formats a measured time with three digits: the load history has hardly more.
fn duration(seconds: f64) -> String {
    let factor = 10_f64.powf(2.0 - seconds.max(1e-6).log10().floor());
    let seconds = (seconds * factor).round() / factor;
    if seconds >= 1.0 {
        format!("{seconds}s")
    } else {
        format!("{}ms", (seconds * 1e9).round() / 1e6)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CSV: &str = "t_seconds,requests_per_second,time,service_seconds,workers,pods_reporting,replicas\n\
                       0,1,2026-01-05T08:00:00Z,0.1,4,2,2\n\
                       10,,2026-01-05T08:00:10Z,,,,\n\
                       20,3,2026-01-05T08:00:20Z,0.2,8,3,4\n";

    fn record() -> Record {
        let spec = serde_json::from_value(serde_json::json!({
            "scaleTargetRef": { "apiVersion": "apps/v1", "kind": "Deployment", "name": "torchserve" },
            "maxReplicas": 9,
            "metrics": [{ "type": "QueueLatency", "queueLatency": { "target": "50ms" } }],
        }));
        Record {
            name: "models/torchserve".to_owned(),
            spec: spec.unwrap(),
            trace: parse_trace("load.csv", CSV).unwrap(),
            file: None,
            measurements: Measurements::parse(CSV).unwrap(),
            start_delay: Some(42.5),
        }
    }

    #[test]
    fn the_measurements_are_means_over_the_requests_and_sums_over_the_known_time() {
        let found = record().measurements;
        assert!((found.service.unwrap() - 0.175).abs() < 1e-9);
        assert_eq!((found.workers, found.pods), (Some(8), Some(2)));
        assert!((found.pod_hours - 60.0 / 3600.0).abs() < 1e-9);
        let empty = "t_seconds,requests_per_second,time,service_seconds,workers,pods_reporting,replicas\n0,,,,,,\n";
        assert_eq!(Measurements::parse(empty).unwrap(), Measurements::default());
    }

    #[test]
    fn a_scenario_has_the_load_and_the_measured_keys_and_options_override_them() {
        let scenario = |more: &[(&str, &str)]| {
            let mut draft = Draft::default();
            draft.set("spec", "target", "50ms");
            record().fill(&mut draft);
            for (key, value) in more {
                draft.set(&format!("--{key}"), key, value);
            }
            draft.finish(&[]).unwrap()
        };
        let plain = scenario(&[]);
        assert_eq!(plain.source.to_string(), "models/torchserve");
        assert_eq!(plain.unknown, std::slice::from_ref(&(10..20)));
        assert_eq!(plain.start, "2026-01-05T08:00:00Z".parse().ok());
        let spec = &plain.cluster;
        assert_eq!(
            (spec.traffic.seconds(), spec.workers, spec.pods),
            (30, 8, 2)
        );
        assert_eq!(spec.start_delay, (42.5, 42.5));
        let later = scenario(&[("skip", "20"), ("workers", "2")]);
        assert_eq!(later.source.to_string(), "models/torchserve from second 20");
        assert_eq!(
            (later.cluster.traffic.seconds(), later.cluster.workers),
            (10, 2)
        );
    }

    #[test]
    fn measured_times_have_three_digits() {
        for (seconds, expected) in [
            (0.100_097_7, "100ms"),
            (0.012_345, "12.3ms"),
            (0.000_123_4, "0.123ms"),
            (42.55, "42.6s"),
            (1234.5, "1230s"),
            (0.9999, "1s"),
        ] {
            assert_eq!(duration(seconds), expected);
        }
    }

    #[test]
    fn the_notes_name_the_period_and_what_was_measured() {
        assert_eq!(
            record().notes(),
            [
                "load history: 2026-01-05T08:00:00Z to 2026-01-05T08:00:30Z; its replicas used 0.02 pod-hours",
                "measured: service 175ms, workers 8, pods 2, start-delay 42.5s",
            ]
        );
    }
}
