//! Which parts of a scaler's load are recorded next.

use std::ops::Range;

use pushscale_decision::Moment;

use crate::history::LOAD_SECONDS;

/// Readings of the last seconds may not have arrived.
const LATE_SECONDS: u64 = 3;

/// Older parts are not known any more.
const MAX_PARTS: u64 = 29;

/// Counts the parts of [`LOAD_SECONDS`] since the origin of moments.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct LoadClock {
    /// The number of the next part; `None` before the first decision.
    next: Option<u64>,
}

impl LoadClock {
    /// Returns the numbers of the parts that have become complete since the last call.
    pub(super) fn completed(&mut self, now: Moment) -> Range<u64> {
        let (second, length) = (now.since_origin().as_secs(), u64::from(LOAD_SECONDS));
        let end = second.saturating_sub(LATE_SECONDS) / length;
        // The part in which the first decision is made is not complete.
        let next = *self.next.get_or_insert(second / length + 1);
        if next >= end {
            return end..end;
        }
        self.next = Some(end);
        next.max(end.saturating_sub(MAX_PARTS))..end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_complete_part_is_recorded_once() {
        let mut clock = LoadClock::default();
        let mut completed = |second| clock.completed(Moment::from_secs(second));
        assert!(completed(12).is_empty());
        assert!(completed(23).is_empty());
        assert!(
            completed(32).is_empty(),
            "readings of second 29 may be missing"
        );
        assert_eq!(completed(33), 2..3);
        assert!(completed(33).is_empty());
        assert_eq!(completed(43), 3..4);
        assert_eq!(completed(10_003), 971..1000);
    }
}
