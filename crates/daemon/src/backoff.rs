//! The delays between failed requests.

use std::time::Duration;

use ::backoff::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};

/// The backoff of requests that follow each other: it doubles with each failure, and each delay is extended by up to
/// the same again at random, so that programs that failed together do not try again together.
#[derive(Debug)]
pub struct Backoff {
    builder: ExponentialBuilder,
    max: Duration,
    /// `None` after a success.
    delays: Option<ExponentialBackoff>,
}

impl Backoff {
    /// Creates a backoff that begins with `min` and grows to `max`, both without the random part.
    pub const fn new(min: Duration, max: Duration) -> Self {
        let builder = ExponentialBuilder::new()
            .with_min_delay(min)
            .with_max_delay(max)
            .without_max_times()
            .with_jitter();
        Self {
            builder,
            max,
            delays: None,
        }
    }

    /// Returns how long to wait after a failed request.
    pub fn next_delay(&mut self) -> Duration {
        let delays = self.delays.get_or_insert_with(|| self.builder.build());
        delays.next().unwrap_or(self.max)
    }

    /// Records a successful request.
    pub fn reset(&mut self) {
        self.delays = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_delay_doubles_up_to_the_maximum_until_a_success() {
        let mut backoff = Backoff::new(Duration::from_secs(10), Duration::from_secs(60));
        for _ in 0..2 {
            for expected in [10, 20, 40, 60, 60] {
                let expected = Duration::from_secs(expected);
                let delay = backoff.next_delay();
                assert!((expected..=2 * expected).contains(&delay), "{delay:?}");
            }
            backoff.reset();
        }
    }
}
