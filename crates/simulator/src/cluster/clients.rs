//! The clients of the pods.

/// The clients and what is between them and the pods.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Clients {
    /// The share of gRPC requests. TorchServe counts them as arrivals, but not in its latency counters.
    pub grpc_share: f64,
    /// The number of connections that stay open; 0 if each request chooses its pod. Each request uses a random
    /// connection. A connection is opened again when its pod is no longer ready.
    pub connections: u32,
    /// The number of load balancers. Each knows only its own requests.
    pub balancers: u32,
    /// How often a client repeats a failed request. It waits a second before the first repetition, and twice as long
    /// before each further one.
    pub retries: u32,
}

impl Default for Clients {
    fn default() -> Self {
        Self {
            grpc_share: 0.0,
            connections: 0,
            balancers: 1,
            retries: 0,
        }
    }
}
