//! From the aggregator's name to addresses.

use std::collections::BTreeSet;
use std::net::SocketAddr;

/// All addresses of `name` (`HOST:PORT`), sorted; `None` if the name cannot be resolved now, in which case the
/// addresses known before are the best guess.
pub(super) async fn resolve(name: &str) -> Option<Vec<SocketAddr>> {
    match tokio::net::lookup_host(name).await {
        Ok(found) => {
            let found: BTreeSet<SocketAddr> = found.collect();
            Some(found.into_iter().collect())
        }
        Err(error) => {
            tracing::warn!(name, %error, "the aggregator's name does not resolve");
            None
        }
    }
}
