//! Decides when slow pods are replaced, and orders the pods that do their work.

use crate::policy::Balancing;
use crate::step::Step;

use super::evidence::PERSISTENCE;
use super::fleet_snapshot::FleetSnapshot;
use super::observe::Inputs;
use super::plan::{Plan, Situation};
use super::replacement::Replicas;
use super::state::ModelState;

impl ModelState {
    /// Returns whether slow pods are replaced. That requires times that can be compared: a pod with full batches takes
    /// longer per request than one with smaller ones, and the times of untimed requests are less accurate.
    pub(super) fn can_replace_slow(
        &self,
        situation: &Situation<'_>,
        fleet_snapshot: &FleetSnapshot,
    ) -> bool {
        situation.replaces_slow
            && situation.balancing == Balancing::Random
            && fleet_snapshot.batch <= 1.0
            && self.service.timed_share() >= 1.0
            && self.replacement.is_possible(situation.now, situation.delay)
    }

    /// Orders the pods that do the work of slow ones. Only a pod that has been slow for a while counts: one at the
    /// limit would otherwise order and release a pod with each decision.
    pub(super) fn replace_slow(
        &mut self,
        inputs: &Inputs<'_>,
        plan: &mut Plan,
        steps: &mut Vec<Step>,
    ) {
        let Some(slow) = &plan.slow_pod else {
            self.replacement.stop();
            return;
        };
        let situation = &inputs.situation;
        if situation.balancing == Balancing::LeastRequest {
            // The load balancer avoids slow pods, so the others serve their share.
            plan.pods = plan.pods.saturating_add(inputs.pods.slow.min(plan.pods));
            return;
        }
        if !situation.replaces_slow {
            // A scale-down deletes another pod, or replicas are not written.
            self.replacement.stop();
            return;
        }
        let replicas = Replicas {
            planned: plan.pods.max(situation.min),
            current: situation.current,
            ready: inputs.pods.ready,
            max: situation.max,
        };
        let is_certain = inputs.is_replaced || slow.factor.is_infinite();
        // A slow pod in which no request waits does no harm.
        let does_harm = slow.waiting > 0 || self.replacement.phase.is_some();
        if !is_certain || !does_harm {
            return;
        }
        let ordered = self.replacement.replace(replicas);
        if let Some(slow) = &mut plan.slow_pod {
            slow.replacement = self.replacement.phase;
        }
        if let Some(replicas) = ordered
            && replicas > plan.pods
        {
            plan.pods = replicas;
            steps.push(Step::Replacement { replicas });
        }
    }

    /// Returns whether there has been a slow pod for long enough; `is_slow` is whether there is one now.
    pub(super) fn is_slow_for_long(&mut self, situation: &Situation<'_>, is_slow: bool) -> bool {
        if !is_slow {
            self.slow_since = None;
            return false;
        }
        // The time to replace slow pods passes while they can be replaced, as after the end of a pause.
        if situation.replaces_slow {
            self.replacement.observe(situation.now);
        }
        let since = *self.slow_since.get_or_insert(situation.now);
        situation.now.since(since) >= PERSISTENCE
    }
}
