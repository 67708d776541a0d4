//! What the injector says of itself. Every way in which a question can end has its own count.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use pushscale_daemon::http_server::ConnectionRejection;

use crate::admit::Count;

/// The injector's own metrics. Cloned freely; all clones count together.
#[derive(Clone, Debug, Default)]
pub(crate) struct Metrics {
    pods: Family<PodLabels, Counter>,
    refused: Family<ReasonLabels, Counter>,
    events: Family<ReasonLabels, Counter>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PodLabels {
    outcome: &'static str,
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabels {
    outcome: &'static str,
}

impl Metrics {
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        let registry = registry.sub_registry_with_prefix("pushscale_injector");
        registry.register(
            "pods",
            "Pods let in, by whether they got the sidecar, and why not",
            metrics.pods.clone(),
        );
        registry.register(
            "refused_requests",
            "Connections and requests that were no question of an API server, by what was wrong",
            metrics.refused.clone(),
        );
        registry.register(
            "event_writes",
            "Events about pods' owners, by how they ended",
            metrics.events.clone(),
        );
        metrics
    }

    pub(crate) fn pod(&self, count: Count) {
        let Count { outcome, reason } = count;
        self.pods
            .get_or_create(&PodLabels { outcome, reason })
            .inc();
    }

    pub(crate) fn refused(&self, outcome: &'static str) {
        self.refused.get_or_create(&ReasonLabels { outcome }).inc();
    }

    pub(crate) fn connection_rejected(&self, why: ConnectionRejection) {
        self.refused(match why {
            ConnectionRejection::LimitReached => "Full",
            ConnectionRejection::AddressLimitReached => "TooManyOfOneAddress",
            ConnectionRejection::PlainHttp => "PlainHttp",
            // Whoever does not know our certificate ends here: an API server with an old caBundle.
            ConnectionRejection::HandshakeFailed => "Handshake",
        });
    }

    pub(crate) fn event(&self, outcome: &'static str) {
        self.events.get_or_create(&ReasonLabels { outcome }).inc();
    }
}
