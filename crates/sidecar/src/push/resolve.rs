//! From the aggregators' names to addresses.

use std::collections::BTreeSet;
use std::net::SocketAddr;

/// All addresses of all `names` (each `HOST:PORT`), sorted; `None` if a name cannot be resolved now, in which
/// case the addresses known before are the best guess.
pub(super) async fn resolve(names: &[String]) -> Option<Vec<SocketAddr>> {
    let mut addresses = BTreeSet::new();
    for name in names {
        match tokio::net::lookup_host(name).await {
            Ok(found) => addresses.extend(found),
            Err(error) => {
                tracing::warn!(name, %error, "the aggregator's name does not resolve");
                return None;
            }
        }
    }
    Some(addresses.into_iter().collect())
}
