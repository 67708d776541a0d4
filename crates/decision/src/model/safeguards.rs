//! Safeguards that correct a plan where the model may be wrong.

use crate::latency::Latency;
use crate::step::Step;

use super::capacity::Capacity;
use super::evidence::{PERSISTENCE, VIOLATION_FACTOR, recent_seconds};
use super::fleet_snapshot::FleetSnapshot;
use super::plan::{Plan, PlanReason, Situation};
use super::rules::Rule;
use super::state::ModelState;
use crate::numbers::to_u32_saturating;

/// The coverage that the time needs in which no request completes (I7). The newest second is never covered, and a
/// sidecar's second is sometimes slightly short: with 0.9 the condition would flap.
const STUCK_COVERAGE: f64 = 0.8;

/// The measured waits that the safeguards use.
#[derive(Clone, Copy, Debug)]
pub(super) struct Symptoms {
    /// The mean wait of the requests completed in the last ten seconds, in seconds, if any.
    pub(super) waited: Option<f64>,
    /// Whether requests wait longer than the target latency now.
    pub(super) waiting: bool,
    /// Whether idle pods leave too few to carry the load.
    pub(super) uneven: bool,
}

impl ModelState {
    /// Corrects the plan, and adds a step for each correction.
    pub(super) fn apply_safeguards(
        &mut self,
        situation: &Situation<'_>,
        fleet_snapshot: &FleetSnapshot,
        capacity: &Capacity,
        symptoms: Symptoms,
        plan: &mut Plan,
        steps: &mut Vec<Step>,
    ) {
        keep_while_waiting(situation, fleet_snapshot, capacity, symptoms, plan, steps);
        let current = situation.current;
        // If enough pods serve, the overdue ones belong to a rollout, and more replicas would also add pods of the old
        // version.
        let overdue = fleet_snapshot
            .overdue
            .min(current.saturating_sub(fleet_snapshot.ready));
        if plan.pods > current
            && overdue > 0
            && overdue >= current.div_ceil(2)
            && Rule::Overdue.applies()
        {
            // More pods of a version that does not become ready do not help.
            plan.pods = current;
            steps.push(Step::Overdue { pods: overdue });
        }
        plan.stuck = self.is_stuck(capacity, fleet_snapshot) && Rule::Stuck.applies();
        match (plan.stuck, self.stuck) {
            (false, _) => self.stuck = None,
            // Scale up once: perhaps only the existing pods are stuck.
            (true, None) => {
                plan.pods = plan.pods.min(current.saturating_mul(2));
                self.stuck = Some(plan.pods.max(current));
            }
            (true, Some(replicas)) => {
                plan.pods = plan.pods.min(replicas).max(current);
                steps.push(Step::Stuck {
                    replicas: plan.pods,
                });
            }
        }
        self.guard_latency(situation, fleet_snapshot, capacity, symptoms, plan, steps);
    }

    /// Returns whether requests arrive and none completes, although completed requests are counted.
    fn is_stuck(&self, capacity: &Capacity, fleet_snapshot: &FleetSnapshot) -> bool {
        let idle = recent_seconds(capacity.service);
        let span = idle.min(300.0);
        let window = self.second_buckets.window(to_u32_saturating(span).into());
        let since_completed = self.second_buckets.now().saturating_sub(self.completed_at);
        fleet_snapshot.counting > 0
            && window.seconds >= STUCK_COVERAGE * span
            && window.arrivals >= 1.0
            && since_completed >= u64::from(to_u32_saturating(idle))
            && fleet_snapshot.in_system >= 1.0
    }

    /// With incomplete metrics the model may underestimate the load: violations that last double the replicas, once the
    /// pods that were ordered before have served for as long.
    fn guard_latency(
        &mut self,
        situation: &Situation<'_>,
        fleet_snapshot: &FleetSnapshot,
        capacity: &Capacity,
        symptoms: Symptoms,
        plan: &mut Plan,
        steps: &mut Vec<Step>,
    ) {
        let wait = fleet_snapshot.wait.unwrap_or_default();
        let unguarded = plan.incomplete.is_some()
            && plan.pods <= situation.current
            && !symptoms.uneven
            && Rule::LatencyGuard.applies();
        if !unguarded || wait <= VIOLATION_FACTOR * capacity.target {
            self.late_since = None;
            return;
        }
        if !fleet_snapshot.starting.is_empty() {
            self.late_since = Some(situation.now);
        }
        let since = *self.late_since.get_or_insert(situation.now);
        let doubled = situation.current.saturating_mul(2).min(plan.up_to);
        if situation.now.since(since) >= PERSISTENCE && doubled > situation.current {
            self.late_since = Some(situation.now);
            plan.pods = doubled;
            plan.reason = PlanReason::Backlog;
            steps.push(Step::LatencyGuard {
                wait: latency(wait),
                replicas: plan.pods,
            });
        } else if plan.pods < situation.current {
            plan.pods = situation.current;
            steps.push(Step::KeptWhileWaiting {
                wait: latency(wait),
                replicas: plan.pods,
            });
        }
    }
}

/// Keeps the serving pods while requests wait (I2). Starting pods may be removed.
fn keep_while_waiting(
    situation: &Situation<'_>,
    fleet_snapshot: &FleetSnapshot,
    capacity: &Capacity,
    symptoms: Symptoms,
    plan: &mut Plan,
    steps: &mut Vec<Step>,
) {
    let late = symptoms.waited.is_some_and(|wait| wait > capacity.target);
    let unknown = symptoms.waited.is_none() && fleet_snapshot.in_system > 0.0;
    let serving = fleet_snapshot.ready.min(situation.current);
    // Idle pods do not serve the requests that wait in other pods.
    if symptoms.uneven || !Rule::KeptWhileWaiting.applies() {
        return;
    }
    if plan.pods < serving && (late || symptoms.waiting || unknown) {
        plan.pods = serving;
        let wait = symptoms.waited.or(fleet_snapshot.wait).unwrap_or_default();
        steps.push(Step::KeptWhileWaiting {
            wait: latency(wait),
            replicas: serving,
        });
    }
}

fn latency(seconds: f64) -> Latency {
    Latency::from_secs_f64(seconds).unwrap_or(Latency::ZERO)
}
