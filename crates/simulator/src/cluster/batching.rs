//! The batches of a worker.

/// How workers combine requests into batches.
///
/// A worker takes the waiting requests, at most [`size`](Self::size) of them. If there are fewer, it waits up to
/// [`delay`](Self::delay) for further ones, as TorchServe does with `batchSize` and `maxBatchDelay`. Requests of the
/// batch wait until then. All requests of a batch complete together.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Batching {
    /// The maximum number of requests in a batch; 1 for no batching.
    pub size: u32,
    /// The maximum time that a worker waits for further requests, in seconds.
    pub delay: f64,
    /// The time that each request after the first one adds to the service time of a batch, as a share of the service
    /// time of a single request.
    pub growth: f64,
}

impl Default for Batching {
    fn default() -> Self {
        Self {
            size: 1,
            delay: 0.1,
            growth: 0.0,
        }
    }
}

impl Batching {
    /// Returns the service time of a batch of `requests` as a multiple of that of a single request: α + β·b.
    pub fn factor(&self, requests: usize) -> f64 {
        1.0 + self.growth * requests.saturating_sub(1) as f64
    }
}
