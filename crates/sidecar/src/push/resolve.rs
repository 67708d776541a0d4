//! Resolves the aggregators' names.

use std::collections::BTreeMap;
use std::net::SocketAddr;

/// Resolves the aggregators' names.
#[derive(Debug)]
pub(super) struct Resolver {
    /// Each is `HOST:PORT`.
    names: Vec<String>,
    has_failed: bool,
}

impl Resolver {
    pub(super) fn new(names: Vec<String>) -> Self {
        Self {
            names,
            has_failed: false,
        }
    }

    /// Returns the addresses, each with its host name, or `None` if a name does not resolve: then the previous
    /// addresses are the best guess.
    pub(super) async fn resolve(&mut self) -> Option<BTreeMap<SocketAddr, &str>> {
        let mut addresses = BTreeMap::new();
        for name in &self.names {
            match tokio::net::lookup_host(name).await {
                Ok(found) => addresses.extend(found.map(|address| (address, host_of(name)))),
                // Only the first failure in a row is a warning: once Pushscale is uninstalled, pods retry forever.
                Err(error) if std::mem::replace(&mut self.has_failed, true) => {
                    tracing::debug!(name, %error, "failed to resolve the aggregator's name");
                    return None;
                }
                Err(error) => {
                    tracing::warn!(name, %error, "failed to resolve the aggregator's name, retrying");
                    return None;
                }
            }
        }
        self.has_failed = false;
        Some(addresses)
    }
}

/// Returns the host as in a certificate: without the final dot, which avoids the search domains, and without the
/// brackets of an IPv6 address.
fn host_of(name: &str) -> &str {
    let host = name.rsplit_once(':').map_or(name, |(host, _)| host);
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host.strip_suffix('.').unwrap_or(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_has_no_port_brackets_or_final_dot() {
        for (name, host) in [
            (
                "aggregator.pushscale.svc.cluster.local.:8490",
                "aggregator.pushscale.svc.cluster.local",
            ),
            ("127.0.0.1:8490", "127.0.0.1"),
            ("[::1]:8490", "::1"),
        ] {
            assert_eq!(host_of(name), host);
        }
    }
}
