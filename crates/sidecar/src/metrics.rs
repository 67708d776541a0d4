//! The sidecar's own metrics.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use pushscale_daemon::labeled_counter::{LabeledCounter, label_value};
use pushscale_daemon::registration::Registration;
use pushscale_protocol::State;

/// The sidecar's own metrics. Clones share the counters.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    scrapes: LabeledCounter<State>,
    pub(crate) pushes: LabeledCounter<PushOutcome>,
    bad_lines: Counter,
    drains: LabeledCounter<DrainOutcome>,
    drain_seconds: Family<[(&'static str, String); 1], Counter<f64, AtomicU64>>,
}

/// How a request for `/drain` ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum PushOutcome {
    /// 200.
    Accepted,
    /// Any other status for which a retry does not help.
    Rejected,
    /// 429 or 5xx: overloaded, or not ready.
    Unavailable,
    /// No response.
    Unreachable,
}

impl Metrics {
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let mut all = Registration::new(registry, "pushscale_sidecar");
        Self {
            scrapes: all.labeled(
                "scrapes",
                "state",
                "Scrapes of the server, by the state it was in",
            ),
            pushes: all.outcomes("pushes", "Pushes to an aggregator, by outcome"),
            drains: all.outcomes(
                "drains",
                "Requests to drain the server before its pod terminates, by outcome",
            ),
            bad_lines: all.add(
                "bad_lines",
                "Lines of the metrics page that could not be parsed",
            ),
            drain_seconds: all.add("drain_seconds", "Total duration of the requests to drain"),
        }
    }

    pub(crate) fn drained(&self, outcome: DrainOutcome, after: Duration) {
        self.drains.increment(outcome);
        self.drain_seconds
            .get_or_create(&[("outcome", label_value(&outcome))])
            .inc_by(after.as_secs_f64());
    }

    pub(crate) fn scraped(&self, state: State, bad_lines: usize) {
        self.scrapes.increment(state);
        self.bad_lines.inc_by(bad_lines as u64);
    }
}
