//! The backoff after failed reads and writes of a scale.

use std::time::Duration;

use backoff::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};

/// The HPA tries again at its next sync, after 15 s.
const BACKOFF: ExponentialBuilder = ExponentialBuilder::new()
    .with_min_delay(Duration::from_millis(500))
    .with_max_delay(MAX_DELAY)
    .without_max_times()
    .with_jitter();

const MAX_DELAY: Duration = Duration::from_secs(15);

/// The backoff of requests that follow each other.
#[derive(Debug, Default)]
pub(crate) struct ScaleBackoff(Option<ExponentialBackoff>);

impl ScaleBackoff {
    /// Returns how long to wait after a failed request.
    pub(crate) fn next(&mut self) -> Duration {
        let backoff = self.0.get_or_insert_with(|| BACKOFF.build());
        backoff.next().unwrap_or(MAX_DELAY)
    }

    /// Records a successful request.
    pub(crate) fn reset(&mut self) {
        self.0 = None;
    }
}
