//! Converts recorded pods to pods and readings of the engine.

use std::time::Duration;

use pushscale_decision::{Latency, ModelReading, Moment, Pod, Reading, ServerState};

use super::case::{CasePod, Step};

/// The model of a pod whose metric has no name.
const LONE_MODEL: &str = "model";

/// Converts what Kubernetes reports about a pod.
pub(super) fn pod_of(pod: &CasePod) -> Pod {
    Pod {
        name: pod.name.as_str().into(),
        phase: pod.phase,
        ready: pod.ready,
        terminating: pod.deleting,
    }
}

/// Converts the values of a pod in a step; `None` if it has none. A metric becomes a model of that name. A metric that
/// the metrics API does not have is one that no pod reports.
pub(super) fn reading_of(now: Moment, pod: &CasePod, step: &Step) -> Option<Reading> {
    let several = pod
        .values_milli
        .iter()
        .filter(|(name, _)| !step.metric_fault.contains(name))
        .filter_map(|(name, value)| Some((name.as_str(), (*value)?)));
    let lone = pod.value_milli.map(|value| (LONE_MODEL, value));
    let models: Vec<_> = lone
        .into_iter()
        .chain(several)
        .map(|(name, value)| ModelReading {
            name: name.to_owned(),
            queue_latency: Some(Latency::from_nanos(value)),
            ..ModelReading::default()
        })
        .collect();
    (!models.is_empty()).then_some(Reading {
        source: 1,
        sequence: 1,
        clock: now.since_origin(),
        fresh_for: Duration::from_secs(1),
        terminating: false,
        server: ServerState::Ready,
        models,
    })
}
