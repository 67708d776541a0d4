//! Applies the PushScaler: its spec, its schedules, and what its deletion depends on.

use std::sync::Arc;

use jiff::Timestamp;
use pushscale_api::{Floor, PushScalerSpec, Schedules, SpecProblem};
use pushscale_decision::{Mode, Moment, Policy};

use super::ManagedScaler;
use super::recorder::Recorder;
use crate::control_loop::effect::{Context, Effects};
use crate::event::ScalerFacts;

impl ManagedScaler {
    /// Whether this is the same object with the same target. What was learned about another one does not apply.
    pub(crate) fn is_of(&self, facts: &ScalerFacts) -> bool {
        self.watch == facts.watch && self.uid == facts.uid
    }

    /// Applies a change of the PushScaler. Returns whether its spec has changed, or its deletion begins.
    pub(crate) fn apply(
        &mut self,
        context: &Context,
        facts: &ScalerFacts,
        effects: &mut Effects,
    ) -> bool {
        let deletion_begins = facts.deletion.deleting && !self.deletion.deleting;
        let is_awaited = self.apply_deletion(facts.deletion.clone());
        if !context.leads {
            let history = &mut self.status_history;
            history.replicas_before = self.deletion.replicas_before;
            history.last_scale_time = facts.last_scale_time;
            history.transitions.clone_from(&facts.transitions);
            history.changes.clone_from(&facts.changes);
        }
        // Our own status writes also arrive here. The spec has changed only if the generation has.
        let same_spec = self.generation == facts.generation && self.generation.is_some();
        let has_changed = !same_spec || deletion_begins;
        if has_changed {
            let (policy, spec) = (facts.policy.clone(), facts.spec.clone());
            let schedules = facts.schedules.clone();
            self.apply_spec(context.now, facts.generation, policy, spec, schedules);
        }
        if has_changed || is_awaited {
            self.wake_at(context.now, effects);
        }
        has_changed
    }

    /// Applies a changed spec. What the engine has learned is kept.
    pub(super) fn apply_spec(
        &mut self,
        now: Moment,
        generation: Option<i64>,
        policy: Result<Policy, Vec<SpecProblem>>,
        spec: Option<Arc<PushScalerSpec>>,
        schedules: Schedules,
    ) {
        self.generation = generation;
        self.schedules = schedules;
        self.floor = None;
        self.writes = policy
            .as_ref()
            .is_ok_and(|policy| policy.mode == Mode::Apply)
            && !self.deletion.deleting;
        // What is restored at the deletion depends on the outcome of the write.
        let restores = self.deletion.deleting && self.deletion.restores;
        if !self.writes && !restores {
            self.replicas.cancel_write();
        }
        let policy = match policy {
            Ok(policy) => policy,
            Err(problems) => {
                self.spec_problems = problems;
                return;
            }
        };
        self.spec_problems.clear();
        match &mut self.engine {
            Some(engine) => engine.set_policy(now, policy, spec),
            None => {
                let conditions = std::mem::take(&mut self.restored_conditions);
                let mut engine = Box::new(Recorder::new(policy, spec, conditions));
                // The watch reports each pod once, perhaps before there was an engine.
                for (uid, pod) in self.deletion_order.pods() {
                    engine.apply_pod(now, uid.clone(), pod.clone());
                }
                self.engine = Some(engine);
            }
        }
    }

    /// Returns what is wrong with the spec.
    pub(crate) fn spec_problems(&self) -> Vec<String> {
        self.spec_problems.iter().map(ToString::to_string).collect()
    }

    /// Returns what the schedules demand at `clock`.
    pub(super) fn scheduled_floor(&mut self, clock: Timestamp) -> Floor {
        let cached = self.floor.filter(|(computed, floor)| {
            // A clock that was set back may be before the floor's begin.
            *computed <= clock && floor.until.is_none_or(|until| clock < until)
        });
        if let Some((_, floor)) = cached {
            return floor;
        }
        let floor = self.schedules.floor(clock);
        self.floor = Some((clock, floor));
        floor
    }
}
