//! The injector's metrics.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use pushscale_daemon::http_server::ConnectionRejection;
use pushscale_daemon::labeled_counter::{LabeledCounter, snake_case};
use pushscale_daemon::registration::Registration;

/// The injector's metrics. Clones share their counts.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    pods: Family<PodLabels, Counter>,
    pub(crate) rejected_requests: LabeledCounter<Rejection>,
    pub(crate) rejected_connections: LabeledCounter<ConnectionRejection>,
    pub(crate) event_writes: LabeledCounter<EventWrite>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PodLabels {
    outcome: &'static str,
    reason: String,
}

/// Why a request was rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Rejection {
    NotFound,
    MethodNotAllowed,
    NotReady,
    /// Other reviews use the memory for reviews.
    Busy,
    InvalidBody,
    TooLarge,
    BodyTimeout,
}

/// The outcome of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum EventWrite {
    Written,
    Failed,
    /// Too many events were waiting.
    Dropped,
}

impl Metrics {
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let mut all = Registration::new(registry, "pushscale_injector");
        Self {
            pods: all.add("pods", "Reviewed pods"),
            rejected_requests: all
                .outcomes("rejected_requests", "Requests rejected without a review"),
            rejected_connections: all.labeled(
                "rejected_connections",
                "reason",
                "Connections that were rejected",
            ),
            event_writes: all.outcomes("event_writes", "Events about the owners of pods"),
        }
    }

    pub(crate) fn reviewed(&self, injected: bool, reason: &str) {
        let labels = PodLabels {
            outcome: if injected { "injected" } else { "skipped" },
            reason: snake_case(reason),
        };
        self.pods.get_or_create(&labels).inc();
    }
}
