//! The settings and the state that all clients of aggregators share.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use pushscale_daemon::tls::CaBundle;
use tokio::sync::{mpsc, watch};

use super::requested::RequestedIntervals;
use crate::identity::{Identity, SequencedReading};
use crate::metrics::Metrics;

/// Where readings are pushed.
#[derive(Clone, Debug)]
pub struct PushConfig {
    /// One or several `HOST:PORT`. The name of a headless Service resolves to all its pods.
    pub aggregators: Vec<String>,
    /// The timeout of one push, including the connection.
    pub timeout: Duration,
    /// How often the names are resolved.
    pub resolve_interval: Duration,
    /// The CAs that the aggregators' certificates must be from; `None`: plain HTTP.
    pub ca_bundle: Option<CaBundle>,
    /// The file with the token to authenticate with, which the kubelet renews; `None`: no token.
    pub token_file: Option<PathBuf>,
}

/// State shared by all clients.
#[derive(Clone, Debug)]
pub(crate) struct Shared {
    pub(crate) identity: Arc<Identity>,
    /// The newest reading; `None` before the first. There is no queue: an aggregator that recovers needs the present
    /// state of the fleet, not its past.
    pub(crate) newest: watch::Receiver<Option<Arc<SequencedReading>>>,
    pub(crate) requested: RequestedIntervals,
    /// Requests an immediate resolution of the names.
    pub(crate) unreachable: mpsc::Sender<()>,
    pub(crate) metrics: Metrics,
}

/// Waits until the channel of readings closes.
pub(super) async fn closed(readings: &mut watch::Receiver<Option<Arc<SequencedReading>>>) {
    while readings.changed().await.is_ok() {}
}
