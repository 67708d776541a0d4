//! The metrics: their names and values.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use kube::core::{Selector, SelectorExt as _};
use pushscale_decision::{FleetLoad, QUORUM};
use thiserror::Error;
use tokio::time::Instant;

use crate::quantity;
use crate::store::{Sample, Scaler, Scalers};

/// The mean queue latency in microseconds. TorchServe's own metric of this name is a sum since its start.
pub(crate) const QUEUE_LATENCY: &str = "ts_queue_latency_microseconds";

/// The label that selects a PushScaler by name.
const PUSHSCALER_LABEL: &str = "pushscaler";

/// The age after which a sample is too old. A PushScaler decides at least every 15 s, unless a write is in flight.
const MAX_AGE: Duration = Duration::from_secs(30);

/// A metric of a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Metric<'a> {
    /// The mean queue latency over the pods of all selected PushScalers.
    QueueLatency,
    /// The desired replicas of this PushScaler.
    Desired(&'a str),
    /// The mean queue latency over the pods of this PushScaler, in seconds.
    Wait(&'a str),
    /// The waiting requests of the pods of this PushScaler.
    Waiting(&'a str),
}

impl<'a> Metric<'a> {
    /// Parses a metric's name; `None` if no metric can have it.
    pub(crate) fn parse(name: &'a str) -> Option<Self> {
        if name == QUEUE_LATENCY {
            return Some(Self::QueueLatency);
        }
        let (scaler, kind) = name.rsplit_once('-')?;
        match kind {
            "desired" => Some(Self::Desired(scaler)),
            "wait" => Some(Self::Wait(scaler)),
            "waiting" => Some(Self::Waiting(scaler)),
            _ => None,
        }
    }

    fn scaler(self) -> Option<&'a str> {
        match self {
            Self::QueueLatency => None,
            Self::Desired(name) | Self::Wait(name) | Self::Waiting(name) => Some(name),
        }
    }
}

/// The value of a metric.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Value {
    /// A Kubernetes quantity.
    pub(crate) quantity: String,
    /// When the oldest of its samples was taken.
    pub(crate) timestamp: Timestamp,
    /// The labels that identify the value.
    pub(crate) labels: BTreeMap<&'static str, String>,
}

/// Why a metric has no value.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum MetricError {
    #[error(
        "metric {0} not found: it must be ts_queue_latency_microseconds, or a PushScaler's name with -desired, -wait \
         or -waiting"
    )]
    UnknownName(String),
    #[error("metric {metric} not found: namespace {namespace} has no PushScaler {scaler}")]
    UnknownScaler {
        metric: String,
        namespace: String,
        scaler: String,
    },
    #[error(
        "namespace {0} has no PushScaler: create one with mode: Recommend for the pods to measure"
    )]
    NoScaler(String),
    #[error(
        "the labelSelector matches no PushScaler in namespace {0}: it is compared with the PushScaler's labels and with \
         pushscaler=NAME"
    )]
    NothingSelected(String),
    #[error("PushScaler {0} has not been evaluated yet: see its status")]
    NoSample(String),
    #[error("the last evaluation of PushScaler {0} is older than 30 s: see the aggregator's log")]
    Stale(String),
    #[error("no pod is running that a PushScaler measures: see the PushScaler's status")]
    NoPods,
    /// Too few pods report. What the others do is unknown.
    #[error(
        "only {reporting} of {running} running pods report a queue latency, 80% are needed: see the PushScaler's status"
    )]
    NoQuorum { reporting: u32, running: u32 },
    /// A pod does not report, or does not report its queue.
    #[error(
        "the number of waiting requests is unknown: {reporting} of {running} running pods report, and all must, with \
         their queue: see the PushScaler's status, and allow the sidecar to read TorchServe's management port"
    )]
    UnknownQueue { reporting: u32, running: u32 },
    #[error("PushScaler {scaler} has no desired replicas: {reason}")]
    NoDecision { scaler: String, reason: String },
}

/// Returns the value of the metric in the namespace with these PushScalers.
///
/// # Errors
/// If the value is unknown, or too old.
pub(crate) fn evaluate(
    metric: Metric<'_>,
    name: &str,
    namespace: &str,
    selector: &Selector,
    scalers: &Scalers,
    now: Instant,
) -> Result<Value, MetricError> {
    let selected = select(metric, name, namespace, selector, scalers)?;
    let samples = selected
        .iter()
        .map(|(name, scaler)| sample_of(name, scaler, now))
        .collect::<Result<Vec<_>, _>>()?;
    let timestamp = samples.iter().map(|sample| sample.timestamp).min();
    let load = || {
        total(
            selected
                .iter()
                .zip(&samples)
                .map(|((_, scaler), sample)| (*scaler, *sample)),
        )
    };
    let quantity = match metric {
        Metric::QueueLatency => quantity::microseconds(mean(&load())?),
        Metric::Wait(_) => quantity::seconds(mean(&load())?),
        Metric::Waiting(_) => {
            let load = load();
            require_quorum(&load)?;
            let unknown = MetricError::UnknownQueue {
                reporting: load.reporting,
                running: load.running,
            };
            load.waiting.ok_or(unknown)?.to_string()
        }
        Metric::Desired(scaler) => desired(scaler, scalers, now)?.to_string(),
    };
    let labels = metric
        .scaler()
        .map(|name| (PUSHSCALER_LABEL, name.to_owned()));
    Ok(Value {
        quantity,
        timestamp: timestamp.unwrap_or_default(),
        labels: labels.into_iter().collect(),
    })
}

/// Returns the desired replicas of a PushScaler.
///
/// # Errors
/// If they are unknown, or too old.
pub(crate) fn desired(name: &str, scalers: &Scalers, now: Instant) -> Result<u32, MetricError> {
    let scaler = scalers.get(name);
    let scaler = scaler.ok_or_else(|| MetricError::NoSample(name.to_owned()))?;
    let sample = sample_of(name, scaler, now)?;
    sample
        .desired
        .clone()
        .map_err(|reason| MetricError::NoDecision {
            scaler: name.to_owned(),
            reason: reason.to_string(),
        })
}

/// Returns the PushScalers that the metric's name and the selector select, at least one.
fn select<'a>(
    metric: Metric<'_>,
    name: &str,
    namespace: &str,
    selector: &Selector,
    scalers: &'a Scalers,
) -> Result<Vec<(&'a str, &'a Scaler)>, MetricError> {
    if let Some(scaler) = metric.scaler()
        && !scalers.contains_key(scaler)
    {
        return Err(MetricError::UnknownScaler {
            metric: name.to_owned(),
            namespace: namespace.to_owned(),
            scaler: scaler.to_owned(),
        });
    }
    if scalers.is_empty() {
        return Err(MetricError::NoScaler(namespace.to_owned()));
    }
    let selected: Vec<_> = scalers
        .iter()
        .filter(|(name, _)| metric.scaler().is_none_or(|scaler| scaler == *name))
        .filter(|(name, scaler)| is_selected(selector, name, scaler))
        .map(|(name, scaler)| (name.as_str(), scaler))
        .collect();
    if selected.is_empty() {
        return Err(MetricError::NothingSelected(namespace.to_owned()));
    }
    Ok(selected)
}

fn is_selected(selector: &Selector, name: &str, scaler: &Scaler) -> bool {
    if selector.selects_all() {
        return true;
    }
    let mut labels = scaler.labels.clone();
    labels.insert(PUSHSCALER_LABEL.to_owned(), name.to_owned());
    selector.matches(&labels)
}

fn sample_of<'a>(name: &str, scaler: &'a Scaler, now: Instant) -> Result<&'a Sample, MetricError> {
    let sample = scaler.sample.as_ref();
    let sample = sample.ok_or_else(|| MetricError::NoSample(name.to_owned()))?;
    if now.saturating_duration_since(sample.decided) > MAX_AGE {
        return Err(MetricError::Stale(name.to_owned()));
    }
    Ok(sample)
}

/// Sums up the loads. PushScalers of one object have the same pods, which count once.
fn total<'a>(samples: impl Iterator<Item = (&'a Scaler, &'a Sample)>) -> FleetLoad {
    let mut targets = BTreeSet::new();
    let mut total = FleetLoad {
        waiting: Some(0),
        ..FleetLoad::default()
    };
    for (scaler, Sample { load, .. }) in samples {
        if targets.insert(&scaler.target) {
            total.reporting += load.reporting;
            total.running += load.running;
            total.total_wait = total.total_wait.saturating_add(load.total_wait);
            total.waiting = total.waiting.zip(load.waiting).map(|(sum, one)| sum + one);
        }
    }
    total
}

fn mean(load: &FleetLoad) -> Result<Duration, MetricError> {
    require_quorum(load)?;
    load.total_wait
        .checked_div(load.reporting)
        .ok_or(MetricError::NoPods)
}

fn require_quorum(load: &FleetLoad) -> Result<(), MetricError> {
    let FleetLoad {
        reporting, running, ..
    } = *load;
    if running == 0 {
        return Err(MetricError::NoPods);
    }
    if reporting == 0 || f64::from(reporting) < QUORUM * f64::from(running) {
        return Err(MetricError::NoQuorum { reporting, running });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use pushscale_api::selector;

    use super::*;

    fn scaler(target: &str, labels: &str, reporting: u32, running: u32, wait: u64) -> Scaler {
        let labels = labels
            .split_whitespace()
            .filter_map(|label| label.split_once('='));
        Scaler {
            labels: labels
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .collect(),
            target: target.to_owned(),
            sample: Some(Sample {
                decided: Instant::now(),
                timestamp: Timestamp::UNIX_EPOCH,
                desired: Ok(4),
                at_zero: false,
                load: FleetLoad {
                    reporting,
                    running,
                    total_wait: Duration::from_secs(wait),
                    waiting: (reporting == running).then_some(wait * 10),
                },
            }),
        }
    }

    /// Three pods with 6 s of waiting in total, and one with 2 s.
    fn scalers() -> Scalers {
        BTreeMap::from([
            ("a".to_owned(), scaler("Deployment/a", "team=x", 3, 3, 6)),
            ("b".to_owned(), scaler("Deployment/b", "team=y", 1, 1, 2)),
        ])
    }

    fn value(scalers: &Scalers, name: &str, selector: &str) -> Result<String, String> {
        let metric = Metric::parse(name).ok_or_else(|| "unknown".to_owned())?;
        let selector = selector::parse(selector)?;
        evaluate(metric, name, "models", &selector, scalers, Instant::now())
            .map(|value| value.quantity)
            .map_err(|error| error.to_string())
    }

    #[tokio::test]
    async fn the_mean_covers_the_pods_of_the_selected_scalers() {
        let all = scalers();
        for (selector, expected) in [
            ("", "2000000"),
            ("pushscaler=a", "2000000"),
            ("pushscaler in (a,b)", "2000000"),
            ("team=y", "2000000"),
            ("team!=x,pushscaler=b", "2000000"),
        ] {
            let found = value(&all, QUEUE_LATENCY, selector);
            assert_eq!(found.as_deref(), Ok(expected), "{selector}");
        }
        let mut uneven = scalers();
        uneven.insert("b".to_owned(), scaler("Deployment/b", "", 1, 1, 10));
        assert_eq!(value(&uneven, QUEUE_LATENCY, "").as_deref(), Ok("4000000"));
        assert_eq!(
            value(&uneven, QUEUE_LATENCY, "team=x").as_deref(),
            Ok("2000000")
        );
        // A second PushScaler of the same pods changes nothing.
        uneven.insert("c".to_owned(), scaler("Deployment/b", "", 1, 1, 10));
        assert_eq!(value(&uneven, QUEUE_LATENCY, "").as_deref(), Ok("4000000"));
    }

    #[tokio::test]
    async fn a_scaler_that_was_never_valid_does_not_hide_the_others() {
        let mut all = scalers();
        let mut invalid = scaler("Deployment/c", "", 0, 0, 0);
        if let Some(sample) = &mut invalid.sample {
            sample.load = FleetLoad::default();
            sample.desired = Err(Arc::from("its spec is invalid"));
        }
        all.insert("c".to_owned(), invalid);
        assert_eq!(value(&all, QUEUE_LATENCY, "").as_deref(), Ok("2000000"));
        for name in ["c-wait", "c-waiting"] {
            let error = value(&all, name, "").unwrap_err();
            assert!(error.contains("see the PushScaler's status"), "{error}");
        }
    }

    #[tokio::test]
    async fn each_scaler_has_three_metrics() {
        let all = scalers();
        assert_eq!(value(&all, "a-desired", "").as_deref(), Ok("4"));
        assert_eq!(value(&all, "a-wait", "team=x").as_deref(), Ok("2000000u"));
        assert_eq!(value(&all, "b-waiting", "").as_deref(), Ok("20"));
        assert_eq!(value(&all, "desired", "").unwrap_err(), "unknown");
        assert!(
            value(&all, "c-desired", "")
                .unwrap_err()
                .contains("has no PushScaler c")
        );
        assert!(
            value(&all, "a-wait", "team=y")
                .unwrap_err()
                .contains("matches no PushScaler")
        );
    }

    #[test]
    fn the_last_dash_separates_the_kind() {
        assert_eq!(
            Metric::parse("x-wait-desired"),
            Some(Metric::Desired("x-wait"))
        );
        assert_eq!(Metric::parse("x-wait"), Some(Metric::Wait("x")));
    }

    #[tokio::test]
    async fn an_unknown_value_is_an_error_and_never_a_number() {
        let empty = Scalers::new();
        let none = value(&empty, QUEUE_LATENCY, "").unwrap_err();
        assert!(
            none.contains("namespace models has no PushScaler"),
            "{none}"
        );
        for (reporting, running, expected) in [
            (0, 0, "no pod is running"),
            (0, 2, "only 0 of 2 running pods"),
            (3, 4, "only 3 of 4 running pods"),
        ] {
            let all = BTreeMap::from([("a".to_owned(), scaler("a", "", reporting, running, 1))]);
            for name in [QUEUE_LATENCY, "a-wait", "a-waiting"] {
                let error = value(&all, name, "").unwrap_err();
                assert!(error.contains(expected), "{name}: {error}");
            }
        }
        let quorum = BTreeMap::from([("a".to_owned(), scaler("a", "", 4, 5, 4))]);
        assert_eq!(value(&quorum, QUEUE_LATENCY, "").as_deref(), Ok("1000000"));
        // A mean can be estimated from most of the pods, a sum cannot.
        let error = value(&quorum, "a-waiting", "").unwrap_err();
        assert!(error.contains("4 of 5 running pods report"), "{error}");

        let mut all = scalers();
        let sample = all.get_mut("a").unwrap().sample.as_mut().unwrap();
        sample.load.waiting = None;
        sample.desired = Err(Arc::from("not enough data"));
        assert!(
            value(&all, "a-waiting", "")
                .unwrap_err()
                .contains("waiting requests is unknown: 3 of 3")
        );
        assert!(
            value(&all, "a-desired", "")
                .unwrap_err()
                .contains("not enough data")
        );
        all.get_mut("b").unwrap().sample = None;
        assert!(
            value(&all, QUEUE_LATENCY, "")
                .unwrap_err()
                .contains("b has not been evaluated")
        );
    }

    #[tokio::test(start_paused = true)]
    async fn an_old_sample_is_an_error() {
        let all = scalers();
        tokio::time::advance(MAX_AGE).await;
        assert!(value(&all, "a-desired", "").is_ok());
        tokio::time::advance(Duration::from_millis(1)).await;
        assert!(
            value(&all, "a-desired", "")
                .unwrap_err()
                .contains("older than 30 s")
        );
    }
}
