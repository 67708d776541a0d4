//! How fast one pod may push, over all its connections: a leaky bucket (GCRA, ITU-T I.371).

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// A push every 50 ms: the fastest sidecar pushes every 100 ms.
pub(super) const GAP: Duration = Duration::from_millis(50);

/// So many at once: pushes that were held up arrive together.
const BURST: u32 = 8;

#[derive(Debug, Default)]
pub(super) struct Pace(Mutex<Option<Instant>>);

impl Pace {
    /// May it push now? If so, it has.
    pub(super) fn allows(&self, now: Instant) -> bool {
        let mut full_until = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let from = full_until.map_or(now, |until| until.max(now));
        if from.duration_since(now) > GAP * (BURST - 1) {
            return false;
        }
        *full_until = Some(from + GAP);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_and_then_one_every_gap() {
        let pace = Pace::default();
        let start = Instant::now();
        for push in 0..BURST {
            assert!(pace.allows(start), "{push}");
        }
        assert!(!pace.allows(start));
        assert!(!pace.allows(start + GAP / 2));
        assert!(pace.allows(start + GAP));
        assert!(!pace.allows(start + GAP));
    }
}
