//! Replaces a slow pod: one more is ordered, and once that is ready, the scale-down deletes the slow one first.

use std::time::Duration;

use crate::moment::Moment;
use crate::snapshot::{Snapshot, Visit};

use super::pod_balance::ReplacementPhase;

/// Slow pods are replaced within this many start delays plus seconds. After that they count again, because replacing
/// them does not help: their nodes are slow, or the target deletes other pods although it should not. Excluding one
/// pod of seven permanently led to 9,918 rejected requests in 90 minutes.
const REPLACE_FOR_DELAYS: f64 = 4.0;
const REPLACE_FOR_SECONDS: f64 = 300.0;

/// Time without slow pods after which replacement may start again.
const RETRY_AFTER: Duration = Duration::from_secs(3600);

/// The replacement of slow pods, one at a time.
#[derive(Clone, Debug, Default)]
pub(crate) struct Replacement {
    /// When a slow pod was first and last observed.
    first: Moment,
    last: Option<Moment>,
    /// The pods that have been replaced since.
    replaced: u32,
    pub(super) phase: Option<ReplacementPhase>,
}

impl Visit for Replacement {
    fn visit(&mut self, snapshot: &mut Snapshot) {
        self.first.visit(snapshot);
        self.last.visit(snapshot);
        self.replaced.visit(snapshot);
        let mut ready = self.ready_replicas();
        ready.visit(snapshot);
        let mut is_ordered = self.phase.is_some();
        is_ordered.visit(snapshot);
        self.phase = is_ordered.then_some(match ready {
            Some(replicas) => ReplacementPhase::Ready { replicas },
            None => ReplacementPhase::Ordered,
        });
    }
}

/// The replicas of the target as a replacement sees them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Replicas {
    /// Those of the plan without a replacement.
    pub(super) planned: u32,
    pub(super) current: u32,
    pub(super) ready: u32,
    pub(super) max: u32,
}

impl Replacement {
    /// Records that there is a slow pod.
    pub(super) fn observe(&mut self, now: Moment) {
        if self.last.is_none_or(|last| now.since(last) >= RETRY_AFTER) {
            *self = Self {
                first: now,
                ..Self::default()
            };
        }
        self.last = Some(now);
    }

    /// Returns whether a slow pod would be replaced; `delay` is the start delay in seconds.
    pub(super) fn is_possible(&self, now: Moment, delay: f64) -> bool {
        self.last.is_none_or(|last| {
            now.since(last) >= RETRY_AFTER
                || now.since(self.first).as_secs_f64()
                    < REPLACE_FOR_DELAYS * delay + REPLACE_FOR_SECONDS
        })
    }

    /// Returns the replicas with the replacement for a slow pod, until it is ready.
    pub(super) fn replace(&mut self, replicas: Replicas) -> Option<u32> {
        let Replicas {
            planned,
            current,
            ready,
            max,
        } = replicas;
        if let Some(wanted) = self.ready_replicas() {
            if current >= wanted || ready > current {
                return None;
            }
            // A pod has been deleted.
            self.stop();
        }
        // While the fleet shrinks, an existing pod replaces the slow one.
        let wanted = planned.min(current) + 1;
        if self.replaced >= (ready / 3).max(1) || wanted > max {
            self.phase = None;
            return None;
        }
        if current >= wanted && ready >= wanted {
            self.phase = Some(ReplacementPhase::Ready { replicas: wanted });
            return None;
        }
        self.phase = Some(ReplacementPhase::Ordered);
        Some(wanted)
    }

    /// Returns the replicas with one more pod that is ready, until a slow one is deleted.
    fn ready_replicas(&self) -> Option<u32> {
        match self.phase {
            Some(ReplacementPhase::Ready { replicas }) => Some(replicas),
            Some(ReplacementPhase::Ordered) | None => None,
        }
    }

    /// Ends the replacement: no pod is slow, or a slow one has been deleted.
    pub(super) fn stop(&mut self) {
        self.replaced += u32::from(self.ready_replicas().is_some());
        self.phase = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replace(
        replacement: &mut Replacement,
        planned: u32,
        current: u32,
        ready: u32,
    ) -> Option<u32> {
        replacement.replace(Replicas {
            planned,
            current,
            ready,
            max: 10,
        })
    }

    #[test]
    fn one_more_pod_is_ordered_until_it_is_ready() {
        let mut replacement = Replacement::default();
        assert_eq!(replacement.phase, None);
        assert_eq!(replace(&mut replacement, 7, 7, 7), Some(8));
        assert_eq!(replace(&mut replacement, 7, 8, 7), Some(8));
        assert_eq!(replacement.phase, Some(ReplacementPhase::Ordered));
        assert_eq!(replace(&mut replacement, 7, 8, 8), None);
        assert_eq!(replacement.ready_replicas(), Some(8));
        // The scale-down has not been written, or the slow pod does not terminate yet.
        assert_eq!(replace(&mut replacement, 7, 8, 8), None);
        assert_eq!(replace(&mut replacement, 7, 7, 8), None);
        assert_eq!(replacement.replaced, 0);
        replacement.stop();
        assert_eq!((replacement.replaced, replacement.phase), (1, None));
    }

    #[test]
    fn at_most_a_third_of_the_pods_is_replaced() {
        let mut replacement = Replacement::default();
        for _ in 0..2 {
            assert_eq!(replace(&mut replacement, 7, 7, 7), Some(8));
            assert_eq!(replace(&mut replacement, 7, 8, 8), None);
        }
        // The target deletes other pods.
        assert_eq!(replace(&mut replacement, 7, 7, 7), None);
        assert_eq!(replacement.replaced, 2);
    }

    #[test]
    fn a_fleet_that_shrinks_keeps_one_more_pod() {
        let mut replacement = Replacement::default();
        assert_eq!(replace(&mut replacement, 10, 10, 10), None);
        assert_eq!(replace(&mut replacement, 7, 9, 7), Some(8));
        assert_eq!(replace(&mut replacement, 6, 8, 7), None);
        assert_eq!(replacement.ready_replicas(), Some(7));
        assert_eq!(replace(&mut replacement, 6, 6, 6), Some(7));
        assert_eq!(replacement.replaced, 1);
    }

    #[test]
    fn a_pod_that_stays_slow_is_replaced_for_minutes_only() {
        let mut replacement = Replacement::default();
        let possible =
            |replacement: &Replacement, at| replacement.is_possible(Moment::from_secs(at), 75.0);
        for second in 100..10_000 {
            assert_eq!(possible(&replacement, second), second < 700, "{second}");
            replacement.observe(Moment::from_secs(second));
        }
        assert!(!possible(&replacement, 13_598));
        assert!(possible(&replacement, 13_599));
        replacement.observe(Moment::from_secs(13_599));
        assert!(possible(&replacement, 13_700));
    }
}
