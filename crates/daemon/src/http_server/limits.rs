//! The resources that clients of a server may use.

use std::time::Duration;

/// The resources that clients of a server may use.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Maximum concurrent connections; further ones get 503, or are closed if the port has TLS.
    pub connections: usize,
    /// Maximum concurrent connections from one address. All addresses of an IPv6 /64 together get at most three
    /// quarters of `connections`.
    pub connections_per_address: usize,
    /// The timeout for a request's head together with the pause before it, and for a client that reads nothing of a
    /// response.
    pub idle: Duration,
    /// The maximum size of a request head, in bytes. Values below hyper's minimum of 8192 count as 8192.
    pub head_bytes: usize,
    /// The time that in-flight requests get after shutdown begins.
    pub grace: Duration,
    /// Whether a request is abandoned when its client closes the connection before the response. Without this, each
    /// request takes a read and a buffer of 8 kB less.
    pub detect_hang_up: bool,
}

impl Default for Limits {
    /// The limits of an admin port: probes, a metrics scraper and an operator's browser need few connections, and one
    /// client at its limit does not exclude them.
    fn default() -> Self {
        Self {
            connections: 64,
            connections_per_address: 8,
            idle: Duration::from_secs(75),
            head_bytes: 8192,
            grace: Duration::from_secs(5),
            detect_hang_up: true,
        }
    }
}
