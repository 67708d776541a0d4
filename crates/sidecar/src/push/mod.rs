//! Readings go to every address that the aggregator's name resolves to, each on a connection of its own, so
//! that each replica has a full window and one dead replica delays no other.

mod courier;
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

use crate::identity::{Identity, Numbered};
use crate::metrics::Metrics;
use courier::Courier;

/// More replicas than that are no replicas but a wrong name.
const MOST_AGGREGATORS: usize = 16;

/// Where readings go.
#[derive(Clone, Debug)]
pub struct PushConfig {
    /// `HOST:PORT`, one or several. A headless Service's name stands for all its pods.
    pub aggregators: Vec<String>,
    /// How long one push may take, connecting included.
    pub timeout: Duration,
    /// How often the name is resolved anew.
    pub resolve_every: Duration,
    /// Who vouches for the aggregators; `None`: nobody, and the pushes go over plain HTTP.
    pub authority: Option<CaBundle>,
    /// The token to show, which is renewed while we run; `None`: none.
    pub token_file: Option<PathBuf>,
}

/// What all couriers share.
#[derive(Clone, Debug)]
pub(crate) struct Shared {
    pub(crate) identity: Arc<Identity>,
    /// The newest reading and when it was taken; `None` before the first. Only the newest: a queue of old
    /// readings would tell an aggregator that comes back about a fleet that is gone.
    pub(crate) newest: watch::Receiver<Option<Arc<Taken>>>,
    /// The pace that an aggregator asked for, in seconds.
    pub(crate) pace: mpsc::Sender<f64>,
    /// Asks for the name to be resolved at once.
    pub(crate) lost: mpsc::Sender<()>,
    pub(crate) metrics: Metrics,
}

/// A reading, and when it was taken on tokio's clock.
#[derive(Debug)]
pub(crate) struct Taken {
    pub(crate) at: tokio::time::Instant,
    pub(crate) numbered: Numbered,
}

/// Pushes until the channel of readings closes, then delivers the last one and ends.
pub(crate) async fn run(config: PushConfig, shared: Shared, mut lost: mpsc::Receiver<()>) {
    let mut couriers: BTreeMap<SocketAddr, tokio::task::AbortHandle> = BTreeMap::new();
    let mut running = JoinSet::new();
    let mut readings = shared.newest.clone();
    loop {
        if let Some(found) = resolve::resolve(&config.aggregators).await {
            couriers.retain(|address, courier| {
                let stays = found.contains_key(address);
                if !stays {
                    tracing::info!(aggregator = %address, "gone from the name");
                    courier.abort();
                }
                stays
            });
            for (address, name) in found.into_iter().take(MOST_AGGREGATORS) {
                couriers.entry(address).or_insert_with(|| {
                    tracing::info!(aggregator = %address, "pushing to");
                    let courier = Courier::new(address, name, &config, shared.clone());
                    running.spawn(courier.run())
                });
            }
        }
        let again = tokio::time::sleep(config.resolve_every);
        tokio::select! {
            () = again => {}
            // A dead connection is often a replaced pod; but no more than one extra look-up a second.
            Some(()) = lost.recv() => tokio::time::sleep(Duration::from_secs(1)).await,
            closed = closed(&mut readings) => { let () = closed; break }
        }
        while running.try_join_next().is_some() {}
    }
    // The channel is closed: every courier delivers the last reading once and ends by itself.
    while running.join_next().await.is_some() {}
}

async fn closed(readings: &mut watch::Receiver<Option<Arc<Taken>>>) {
    while readings.changed().await.is_ok() {}
}
