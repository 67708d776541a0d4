//! Pushes readings to every address that the aggregators' names resolve to, each on its own connection: every replica
//! sees every reading, and an unreachable replica does not delay the others.

mod client;
mod failures;
mod requested;
mod resolve;
mod shared;
mod token;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;

use client::PushClient;
pub(crate) use requested::{LongestInterval, new as requested_intervals};
use resolve::Resolver;
pub use shared::PushConfig;
pub(crate) use shared::Shared;
use shared::closed;

/// The maximum number of addresses. A name that resolves to more is not an aggregator's.
const MAX_AGGREGATORS: usize = 16;

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
