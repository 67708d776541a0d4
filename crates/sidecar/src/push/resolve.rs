//! From the aggregators' names to addresses.

use std::collections::BTreeMap;
use std::net::SocketAddr;

/// All addresses of all `names` (each `HOST:PORT`), each with the name that led there; `None` if a name cannot be
/// resolved now, in which case the addresses known before are the best guess.
pub(super) async fn resolve(names: &[String]) -> Option<BTreeMap<SocketAddr, &str>> {
    let mut addresses = BTreeMap::new();
    for name in names {
        match tokio::net::lookup_host(name).await {
            Ok(found) => addresses.extend(found.map(|address| (address, host_of(name)))),
            Err(error) => {
                tracing::warn!(name, %error, "the aggregator's name does not resolve");
                return None;
            }
        }
    }
    Some(addresses)
}

/// The host as a certificate has it: without the final dot that spares the search domains, and without an IPv6
/// address's brackets.
fn host_of(name: &str) -> &str {
    let host = name.rsplit_once(':').map_or(name, |(host, _)| host);
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host.strip_suffix('.').unwrap_or(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_knows_neither_port_nor_brackets_nor_the_final_dot() {
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
