//! Pushes readings to every address that the aggregators' names resolve to, each on its own connection: every replica
//! sees every reading, and an unreachable replica does not delay the others.

mod client;
mod failures;
mod requested;
mod resolve;
mod token;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use pushscale_daemon::tls::CaBundle;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::identity::{Identity, SequencedReading};
use crate::metrics::Metrics;
use client::PushClient;
pub(crate) use requested::{LongestInterval, RequestedIntervals, new as requested_intervals};
use resolve::Resolver;

/// The maximum number of addresses. A name that resolves to more is not an aggregator's.
const MAX_AGGREGATORS: usize = 16;

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

/// Pushes until the channel of readings closes, then pushes the last reading once and returns.
pub(crate) async fn run(config: PushConfig, shared: Shared, mut unreachable: mpsc::Receiver<()>) {
    let mut clients: BTreeMap<SocketAddr, tokio::task::AbortHandle> = BTreeMap::new();
    let mut running = JoinSet::new();
    let mut readings = shared.newest.clone();
    let mut resolver = Resolver::new(config.aggregators.clone());
    loop {
        let found = tokio::select! {
            found = resolver.resolve() => found,
            // A lookup may take as long as all DNS servers have timeouts.
            () = closed(&mut readings) => break,
        };
        if let Some(found) = found {
            clients.retain(|address, client| {
                let keep = found.contains_key(address);
                if !keep {
                    tracing::info!(aggregator = %address, "aggregator address removed");
                    client.abort();
                    shared.requested.set(*address, None);
                }
                keep
            });
            for (address, name) in found.into_iter().take(MAX_AGGREGATORS) {
                clients.entry(address).or_insert_with(|| {
                    tracing::info!(aggregator = %address, "aggregator address added");
                    let client = PushClient::new(address, name, &config, shared.clone());
                    running.spawn(client.run())
                });
            }
        }
        tokio::select! {
            () = tokio::time::sleep(config.resolve_interval) => {}
            // An unreachable address is often a replaced pod. At most one extra lookup per second.
            Some(()) = unreachable.recv() => tokio::time::sleep(Duration::from_secs(1)).await,
            () = closed(&mut readings) => break,
        }
        while running.try_join_next().is_some() {}
    }
    // Every client pushes the last reading once and returns.
    while running.join_next().await.is_some() {}
}

/// Waits until the channel of readings closes.
async fn closed(readings: &mut watch::Receiver<Option<Arc<SequencedReading>>>) {
    while readings.changed().await.is_ok() {}
}
