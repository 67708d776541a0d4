//! Readiness as a set of latches: each part of a program holds one until it is up.

use tokio::sync::watch;

/// Ready once every [`ReadinessLatch`] made from it is dropped. Clones share the number of those that are held.
#[derive(Clone, Debug, Default)]
pub struct Readiness(watch::Sender<usize>);

/// Held by a part that is not up yet, and dropped when it is.
#[derive(Debug)]
#[must_use = "dropping it marks the part as up"]
pub struct ReadinessLatch(watch::Sender<usize>);

impl Readiness {
    /// Creates a latch for one more part.
    pub fn latch(&self) -> ReadinessLatch {
        self.0.send_modify(|held| *held += 1);
        ReadinessLatch(self.0.clone())
    }

    /// Returns whether every part is up.
    pub fn is_ready(&self) -> bool {
        *self.0.borrow() == 0
    }

    /// Waits until every part is up.
    pub async fn ready(&self) {
        // The sender lives as long as `self`.
        self.0.subscribe().wait_for(|held| *held == 0).await.ok();
    }
}

impl Drop for ReadinessLatch {
    fn drop(&mut self) {
        self.0.send_modify(|held| *held -= 1);
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures_util::FutureExt as _;

    use super::*;

    #[test]
    fn ready_when_every_part_is_up() {
        let readiness = Readiness::default();
        let (watch, ingest) = (readiness.latch(), readiness.latch());
        let mut ready = pin!(readiness.ready());
        for latch in [watch, ingest] {
            assert!(!readiness.is_ready() && ready.as_mut().now_or_never().is_none());
            drop(latch);
        }
        assert!(readiness.is_ready() && ready.now_or_never().is_some());
    }
}
