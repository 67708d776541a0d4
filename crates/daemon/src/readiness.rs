//! Readiness as a set of latches: each part of a program holds one until it is up.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Ready once every [`ReadinessLatch`] made from it is dropped.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<AtomicUsize>);

/// Held by a part that is not up yet, and dropped when it is.
#[derive(Debug)]
#[must_use = "dropping it marks the part as up"]
pub struct ReadinessLatch(Arc<AtomicUsize>);

impl Readiness {
    /// Creates a latch for one more part.
    pub fn latch(&self) -> ReadinessLatch {
        self.0.fetch_add(1, Ordering::Relaxed);
        ReadinessLatch(Arc::clone(&self.0))
    }

    /// Returns whether every part is up.
    pub fn is_ready(&self) -> bool {
        self.0.load(Ordering::Relaxed) == 0
    }
}

impl Drop for ReadinessLatch {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_when_every_part_is_up() {
        let readiness = Readiness::default();
        let (watch, ingest) = (readiness.latch(), readiness.latch());
        assert!(!readiness.is_ready());
        drop(watch);
        assert!(!readiness.is_ready());
        drop(ingest);
        assert!(readiness.is_ready());
    }
}
