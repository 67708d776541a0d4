//! What the sidecar says of itself.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use pushscale_protocol::State;

/// The sidecar's own metrics. Cloned freely; all clones count together.
#[derive(Clone, Debug, Default)]
pub(crate) struct Metrics {
    looks: Family<LookLabels, Counter>,
    pushes: Family<PushLabels, Counter>,
    bad_lines: Counter,
    drains: Family<DrainLabels, Counter>,
    drain_seconds: Family<DrainLabels, Counter<f64, AtomicU64>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LookLabels {
    state: LookState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
enum LookState {
    Ready,
    NoSamplesYet,
    WarmingUp,
    Refused,
    Frozen,
    Empty,
    Forbidden,
    Garbled,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PushLabels {
    outcome: PushOutcome,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DrainLabels {
    outcome: DrainOutcome,
}

/// How a request for `/drain` ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
pub(crate) enum DrainOutcome {
    /// Nothing was left to do.
    Drained,
    /// The server was not there.
    Gone,
    /// Something was left to do, or nobody could tell.
    Deadline,
    /// The sidecar had to end itself.
    Stopped,
}

/// How a push ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
pub(crate) enum PushOutcome {
    /// 200.
    Taken,
    /// Another answer that trying again does not mend.
    Refused,
    /// 429 or 5xx.
    Busy,
    /// No answer.
    Unreachable,
}

impl Metrics {
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        let registry = registry.sub_registry_with_prefix("pushscale_sidecar");
        registry.register(
            "looks",
            "Looks at the server, by what it was found to be doing",
            metrics.looks.clone(),
        );
        registry.register(
            "pushes",
            "Pushes to an aggregator, by how they ended",
            metrics.pushes.clone(),
        );
        registry.register(
            "bad_lines",
            "Lines of the metrics page that could not be read",
            metrics.bad_lines.clone(),
        );
        registry.register(
            "drains",
            "Requests to drain the server before its pod ends, by how they ended",
            metrics.drains.clone(),
        );
        registry.register(
            "drain_seconds",
            "How long the requests to drain waited for their answers, summed",
            metrics.drain_seconds.clone(),
        );
        metrics
    }

    pub(crate) fn pushed(&self, outcome: PushOutcome) {
        self.pushes.get_or_create(&PushLabels { outcome }).inc();
    }

    pub(crate) fn drained(&self, outcome: DrainOutcome, after: Duration) {
        let labels = DrainLabels { outcome };
        self.drains.get_or_create(&labels).inc();
        let seconds = after.as_secs_f64();
        self.drain_seconds.get_or_create(&labels).inc_by(seconds);
    }

    pub(crate) fn looked(&self, state: State, bad_lines: usize) {
        let state = match state {
            State::Ready => LookState::Ready,
            State::NoSamplesYet => LookState::NoSamplesYet,
            State::WarmingUp => LookState::WarmingUp,
            State::Refused => LookState::Refused,
            State::Frozen => LookState::Frozen,
            State::Empty => LookState::Empty,
            State::Forbidden => LookState::Forbidden,
            State::Garbled | State::Unknown => LookState::Garbled,
        };
        self.looks.get_or_create(&LookLabels { state }).inc();
        if bad_lines > 0 {
            self.bad_lines.inc_by(bad_lines as u64);
        }
    }
}
