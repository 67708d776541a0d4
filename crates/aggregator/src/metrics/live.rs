//! Values that are read when they are scraped.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;
use pushscale_daemon::http_server::OpenConnections;
use tokio::sync::mpsc;

use super::PREFIX;
use crate::auth::Authenticator;
use crate::event::Event;

/// What is measured only when it is scraped, because it is known elsewhere at all times.
pub(crate) struct LiveValues {
    /// The control loop's event queue.
    pub(crate) events: mpsc::WeakSender<Event>,
    pub(crate) authenticator: Arc<Authenticator>,
    /// The connections of the push port.
    pub(crate) connections: OpenConnections,
}

impl LiveValues {
    pub(crate) fn register(self, registry: &mut Registry) {
        registry
            .sub_registry_with_prefix(PREFIX)
            .register_collector(Box::new(self));
    }

    fn event_queue_length(&self) -> usize {
        let events = self.events.upgrade();
        events.map_or(0, |events| events.max_capacity() - events.capacity())
    }
}

impl fmt::Debug for LiveValues {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LiveValues").finish_non_exhaustive()
    }
}

impl Collector for LiveValues {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        for (name, help, value) in [
            (
                "event_queue_length",
                "Events that wait for the control loop",
                self.event_queue_length(),
            ),
            (
                "cached_tokens",
                "Tokens whose review is cached",
                self.authenticator.cached_tokens(),
            ),
            (
                "open_connections",
                "Open connections of the push port",
                self.connections.count(),
            ),
        ] {
            let gauge = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            ConstGauge::new(value).encode(gauge)?;
        }
        Ok(())
    }
}
