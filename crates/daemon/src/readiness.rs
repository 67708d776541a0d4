//! Readiness as a handful of tokens: each part of a program holds one until it is up.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Ready once every [`Pending`] made from it is gone.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<AtomicUsize>);

/// Held by a part that is not up yet. Dropping it says "up".
#[derive(Debug)]
#[must_use = "dropping it at once says that the part is up"]
pub struct Pending(Arc<AtomicUsize>);

impl Readiness {
    /// One more part to wait for.
    pub fn wait_for_part(&self) -> Pending {
        self.0.fetch_add(1, Ordering::Relaxed);
        Pending(Arc::clone(&self.0))
    }

    /// Is every part up?
    pub fn is_ready(&self) -> bool {
        self.0.load(Ordering::Relaxed) == 0
    }
}

impl Drop for Pending {
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
        let (watch, ingest) = (readiness.wait_for_part(), readiness.wait_for_part());
        assert!(!readiness.is_ready());
        drop(watch);
        assert!(!readiness.is_ready());
        drop(ingest);
        assert!(readiness.is_ready());
    }
}
