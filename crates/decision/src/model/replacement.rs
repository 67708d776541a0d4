//! Replaces a slow pod: one more is ordered, and once that is ready, the scale-down deletes the slow one first.

use std::sync::Arc;
use std::time::Duration;

use crate::moment::Moment;
use crate::policy::Balancing;
use crate::snapshot::Snapshot;
use crate::step::Step;

use super::evidence::LASTING;
use super::fleet_snapshot::FleetSnapshot;
use super::plan::{Plan, Situation};
use super::pod_balance::SlowPod;
use super::state::ModelState;

/// In this time, at most a third of the pods is replaced, as many as may count as slow. If there are slow ones after
/// that, replacing them does not help: their nodes are slow, or the target does not delete the slow ones first, as a
/// StatefulSet.
const PERIOD: Duration = Duration::from_secs(3600);

/// The replacement of slow pods, one at a time.
#[derive(Clone, Debug)]
pub(crate) struct Replacement {
    /// The replicas with one more pod.
    replicas: Option<u32>,
    /// Whether that pod is ready, and a slow one is to be deleted.
    is_ready: bool,
    /// When the first replacement of the last period ended, and their number since.
    since: Moment,
    ended: u32,
}

/// The replicas of the target as a replacement sees them.
#[derive(Clone, Copy, Debug)]
struct Replicas {
    /// Those of the plan without a replacement.
    planned: u32,
    current: u32,
    ready: u32,
    max: u32,
}

impl Default for Replacement {
    fn default() -> Self {
        Self {
            replicas: None,
            is_ready: false,
            since: Moment::ORIGIN,
            ended: 0,
        }
    }
}

impl Replacement {
    pub(crate) fn visit(&mut self, snapshot: &mut Snapshot) {
        snapshot.option(&mut self.replicas, u32::default, Snapshot::u32);
        snapshot.bool(&mut self.is_ready);
        snapshot.moment(&mut self.since);
        snapshot.u32(&mut self.ended);
    }

    /// Returns whether a slow one of `pods` would be replaced, or is being replaced.
    fn is_possible(&self, now: Moment, pods: u32) -> bool {
        self.replicas.is_some() || self.ended < (pods / 3).max(1) || now.since(self.since) >= PERIOD
    }

    /// Returns the replicas with the replacement for a slow pod, until it is ready.
    fn replace(&mut self, now: Moment, replicas: Replicas) -> Option<u32> {
        let Replicas {
            planned,
            current,
            ready,
            max,
        } = replicas;
        let Some(wanted) = self.replicas else {
            // If fewer are planned, pods are deleted now, the slow ones first.
            let is_wanted = planned >= current && ready <= current && current < max;
            self.replicas = (is_wanted && self.is_possible(now, ready)).then_some(current + 1);
            return self.replicas;
        };
        if self.is_ready {
            let is_deleted = current < wanted && ready <= current;
            // The load has risen meanwhile, and all pods are needed.
            let is_needed = planned >= current && current >= wanted;
            if is_deleted || is_needed {
                self.end(now);
            }
        } else if planned + 1 < current {
            self.replicas = None;
        } else {
            self.is_ready = current >= wanted && ready >= current;
        }
        self.replicas.filter(|_| !self.is_ready)
    }

    /// Returns whether one more pod was ordered and no slow one has been deleted since.
    fn is_ordered(&self) -> bool {
        self.replicas.is_some()
    }

    /// There is no slow pod any more.
    fn stop(&mut self, now: Moment) {
        if self.is_ready {
            self.end(now);
        }
        self.replicas = None;
    }

    fn end(&mut self, now: Moment) {
        if self.ended == 0 || now.since(self.since) >= PERIOD {
            (self.since, self.ended) = (now, 0);
        }
        self.ended += 1;
        (self.replicas, self.is_ready) = (None, false);
    }
}

impl ModelState {
    /// Returns whether slow pods are replaced, which takes times that can be compared: a pod with full batches takes
    /// longer per request than one with smaller ones, and the time of requests that the server does not time is known
    /// less well.
    pub(super) fn can_replace_slow(
        &self,
        situation: &Situation<'_>,
        fleet_snapshot: &FleetSnapshot,
    ) -> bool {
        situation.balancing == Balancing::Random
            && fleet_snapshot.batch <= 1.0
            && self.service.timed_share() >= 1.0
            && self
                .replacement
                .is_possible(situation.now, fleet_snapshot.ready)
    }

    /// Orders the pods that do the work of slow ones; `is_replaced` is whether slow pods are replaced. Only what lasts
    /// counts: a pod at the limit would otherwise order and release a pod with each decision.
    pub(super) fn replace_slow(
        &mut self,
        situation: &Situation<'_>,
        fleet_snapshot: &FleetSnapshot,
        is_replaced: bool,
        plan: &mut Plan,
        steps: &mut Vec<Step>,
    ) {
        let Some(slow) = &plan.slow_pod else {
            self.replacement.stop(situation.now);
            return;
        };
        if situation.balancing == Balancing::LeastRequest {
            // The load balancer avoids slow pods, so the others serve their share.
            let slow = fleet_snapshot.balance.slow;
            plan.pods = plan.pods.saturating_add(slow.min(plan.pods));
            return;
        }
        let replicas = Replicas {
            planned: plan.pods,
            current: situation.current,
            ready: fleet_snapshot.ready,
            max: situation.max,
        };
        let is_certain = is_replaced || slow.factor.is_infinite();
        // A slow pod in which no request waits does no harm.
        let does_harm = slow.waiting > 0 || self.replacement.is_ordered();
        if !is_certain || !does_harm {
            return;
        }
        if let Some(replicas) = self.replacement.replace(situation.now, replicas)
            && replicas > plan.pods
        {
            plan.pods = replicas;
            steps.push(Step::Replacement {
                pod: Arc::clone(&slow.pod),
                replicas,
            });
        }
    }

    /// Returns the slow pod if there has been one for long enough.
    pub(super) fn slow_for_long(
        &mut self,
        situation: &Situation<'_>,
        slow_pod: Option<SlowPod>,
    ) -> Option<SlowPod> {
        if slow_pod.is_none() {
            self.slow_since = None;
            return None;
        }
        let since = *self.slow_since.get_or_insert(situation.now);
        slow_pod.filter(|_| situation.now.since(since) >= LASTING)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replace(
        replacement: &mut Replacement,
        second: u64,
        current: u32,
        ready: u32,
    ) -> Option<u32> {
        let replicas = Replicas {
            planned: 7,
            current,
            ready,
            max: 10,
        };
        replacement.replace(Moment::from_secs(second), replicas)
    }

    #[test]
    fn one_more_pod_is_ordered_until_it_is_ready() {
        let mut replacement = Replacement::default();
        assert_eq!(replace(&mut replacement, 1, 7, 7), Some(8));
        assert_eq!(replace(&mut replacement, 2, 7, 7), Some(8));
        assert_eq!(replace(&mut replacement, 3, 8, 7), Some(8));
        assert_eq!(replace(&mut replacement, 60, 8, 8), None);
        // The scale-down has not been written, or the slow pod does not terminate yet.
        assert_eq!(replace(&mut replacement, 61, 8, 8), None);
        assert_eq!(replace(&mut replacement, 62, 7, 8), None);
        assert_eq!(replacement.ended, 0);
        replacement.stop(Moment::from_secs(63));
        assert_eq!((replacement.ended, replacement.is_ordered()), (1, false));
    }

    #[test]
    fn at_most_a_third_of_the_pods_is_replaced_in_an_hour() {
        let mut replacement = Replacement::default();
        let mut orders = 0;
        for second in 1..3600 {
            // Each replacement is ready at once, and never a slow pod is deleted for it.
            let (current, ready) = if second % 4 < 2 { (7, 7) } else { (8, 8) };
            let was_ordered = replacement.is_ordered();
            orders += u32::from(
                replace(&mut replacement, second, current, ready).is_some() && !was_ordered,
            );
        }
        assert_eq!(orders, 2);
        let first = replacement.since.since_origin().as_secs();
        assert!(!replacement.is_possible(Moment::from_secs(first + 3599), 7));
        assert!(replacement.is_possible(Moment::from_secs(first + 3600), 7));
        assert_eq!(replace(&mut replacement, first + 3600, 7, 7), Some(8));
    }

    #[test]
    fn nothing_is_ordered_above_the_bound_or_while_the_fleet_shrinks() {
        let mut replacement = Replacement::default();
        assert_eq!(replace(&mut replacement, 1, 10, 10), None);
        assert_eq!(replace(&mut replacement, 2, 9, 9), None);
        assert_eq!(replace(&mut replacement, 3, 7, 7), Some(8));
        // The load has fallen: other pods are about to be deleted, which ends no replacement.
        let fallen = Replicas {
            planned: 4,
            current: 8,
            ready: 7,
            max: 10,
        };
        assert_eq!(replacement.replace(Moment::from_secs(4), fallen), None);
        assert_eq!((replacement.ended, replacement.is_ordered()), (0, false));
    }
}
