//! The sidecar's own metrics.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use pushscale_protocol::State;

/// The sidecar's own metrics. Clones share the counters.
#[derive(Clone, Debug, Default)]
pub(crate) struct Metrics {
    scrapes: Family<StateLabel, Counter>,
    pushes: Family<OutcomeLabel, Counter>,
    bad_lines: Counter,
    drains: Family<OutcomeLabel, Counter>,
    drain_seconds: Family<OutcomeLabel, Counter<f64, AtomicU64>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabel {
    state: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabel {
    outcome: &'static str,
}

/// How a request for `/drain` ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DrainOutcome {
    /// The server has nothing left to do.
    Drained,
    /// The server is not running.
    NotRunning,
    /// The server still has requests, or its state is unknown.
    DeadlineExceeded,
    /// The sidecar is shutting down.
    ShuttingDown,
}

/// How a push ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PushOutcome {
    /// 200.
    Accepted,
    /// Any other status for which a retry does not help.
    Rejected,
    /// 429 or 5xx.
    Overloaded,
    /// No response.
    Unreachable,
}

impl Metrics {
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        let registry = registry.sub_registry_with_prefix("pushscale_sidecar");
        registry.register(
            "scrapes",
            "Scrapes of the server, by the state it was in",
            metrics.scrapes.clone(),
        );
        registry.register(
            "pushes",
            "Pushes to an aggregator, by outcome",
            metrics.pushes.clone(),
        );
        registry.register(
            "bad_lines",
            "Lines of the metrics page that could not be parsed",
            metrics.bad_lines.clone(),
        );
        registry.register(
            "drains",
            "Requests to drain the server before its pod terminates, by outcome",
            metrics.drains.clone(),
        );
        registry.register(
            "drain_seconds",
            "Total duration of the requests to drain",
            metrics.drain_seconds.clone(),
        );
        metrics
    }

    pub(crate) fn pushed(&self, outcome: PushOutcome) {
        let outcome = match outcome {
            PushOutcome::Accepted => "accepted",
            PushOutcome::Rejected => "rejected",
            PushOutcome::Overloaded => "overloaded",
            PushOutcome::Unreachable => "unreachable",
        };
        self.pushes.get_or_create(&OutcomeLabel { outcome }).inc();
    }

    pub(crate) fn drained(&self, outcome: DrainOutcome, after: Duration) {
        let outcome = match outcome {
            DrainOutcome::Drained => "drained",
            DrainOutcome::NotRunning => "not_running",
            DrainOutcome::DeadlineExceeded => "deadline_exceeded",
            DrainOutcome::ShuttingDown => "shutting_down",
        };
        let label = OutcomeLabel { outcome };
        self.drains.get_or_create(&label).inc();
        let seconds = after.as_secs_f64();
        self.drain_seconds.get_or_create(&label).inc_by(seconds);
    }

    pub(crate) fn scraped(&self, state: State, bad_lines: usize) {
        let state = match state {
            State::Ready => "ready",
            State::NoSamplesYet => "no_samples_yet",
            State::WarmingUp => "warming_up",
            State::Refused => "refused",
            State::Frozen => "frozen",
            State::Empty => "empty",
            State::Forbidden => "forbidden",
            State::Garbled | State::Unknown => "garbled",
        };
        self.scrapes.get_or_create(&StateLabel { state }).inc();
        if bad_lines > 0 {
            self.bad_lines.inc_by(bad_lines as u64);
        }
    }
}
