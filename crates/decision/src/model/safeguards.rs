//! What keeps a plan from doing harm where the model may be wrong.

use std::time::Duration;

use crate::latency::Latency;
use crate::step::Step;

use super::capacity::Capacity;
use super::fleet_snapshot::FleetSnapshot;
use super::plan::{Plan, PlanReason, Situation};
use super::queueing::whole;
use super::state::ModelState;

/// Nothing answered for so many seconds, or so many service times, while requests arrive (I7).
const STUCK_SECONDS: f64 = 10.0;
const STUCK_SERVICES: f64 = 5.0;

/// So much of that time must have been told of. The newest second never is, and a sidecar's second is a little short
/// at times: at 0.9 the ten seconds would be found and lost again, and the condition with them.
const TOLD: f64 = 0.8;

/// With incomplete metrics: waits over so many times the target, for so long, double the size.
const LATE_TIMES: f64 = 4.0;
const LATE: Duration = Duration::from_secs(30);

/// What the rails look at.
#[derive(Clone, Copy, Debug)]
pub(super) struct Symptoms {
    /// The mean wait of the last ten seconds' answers, in seconds, if there were any.
    pub(super) waited: Option<f64>,
    /// Requests wait longer than the target now.
    pub(super) waiting: bool,
}

impl ModelState {
    /// Corrects the plan, and says so.
    pub(super) fn keep_safe(
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
        // Where those that serve are as many as are wanted, the overdue ones are a rollout's, and a larger size brings
        // more of the old version, too.
        let overdue = fleet_snapshot
            .overdue
            .min(current.saturating_sub(fleet_snapshot.ready));
        if plan.pods > current && overdue > 0 && overdue >= current.div_ceil(2) {
            // More pods of a version that does not become ready help nobody.
            plan.pods = current;
            steps.push(Step::Overdue { pods: overdue });
        }
        plan.stuck = self.is_stuck(capacity, fleet_snapshot);
        match (plan.stuck, self.stuck) {
            (false, _) => self.stuck = None,
            // Once: perhaps it is the pods that are there.
            (true, None) => self.stuck = Some(plan.pods.max(current)),
            (true, Some(size)) => {
                plan.pods = plan.pods.min(size).max(current);
                steps.push(Step::Stuck {
                    replicas: plan.pods,
                });
            }
        }
        self.guard(situation, fleet_snapshot, capacity, plan, steps);
    }

    /// Requests arrive and none is completed, though the count of answers is known.
    fn is_stuck(&self, capacity: &Capacity, fleet_snapshot: &FleetSnapshot) -> bool {
        let quiet = (STUCK_SERVICES * capacity.service).clamp(STUCK_SECONDS, 300.0);
        let window = self.second_buckets.window(whole(quiet).into());
        let silent = self.second_buckets.now().saturating_sub(self.completed_at);
        fleet_snapshot.counting > 0
            && window.seconds >= TOLD * quiet
            && window.arrivals >= 1.0
            && silent >= u64::from(whole(quiet))
            && fleet_snapshot.in_system >= 1.0
    }

    /// With incomplete metrics the model may be blind: then the latency itself decides, slowly.
    fn guard(
        &mut self,
        situation: &Situation<'_>,
        fleet_snapshot: &FleetSnapshot,
        capacity: &Capacity,
        plan: &mut Plan,
        steps: &mut Vec<Step>,
    ) {
        let wait = fleet_snapshot.wait.unwrap_or_default();
        let blind = plan.incomplete.is_some() && plan.pods <= situation.current;
        if !blind || wait <= LATE_TIMES * capacity.target {
            self.late_since = None;
            return;
        }
        let since = *self.late_since.get_or_insert(situation.now);
        if situation.now.since(since) >= LATE {
            self.late_since = Some(situation.now);
            plan.pods = situation.current.saturating_mul(2);
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

/// Nothing that serves goes while requests wait (I2). Pods on their way may be let go: they serve nobody yet.
fn keep_while_waiting(
    situation: &Situation<'_>,
    fleet_snapshot: &FleetSnapshot,
    capacity: &Capacity,
    symptoms: Symptoms,
    plan: &mut Plan,
    steps: &mut Vec<Step>,
) {
    let late = symptoms.waited.is_some_and(|wait| wait > capacity.target);
    let unseen = symptoms.waited.is_none() && fleet_snapshot.in_system > 0.0;
    let serve = fleet_snapshot.ready.min(situation.current);
    if plan.pods < serve && (late || symptoms.waiting || unseen) {
        plan.pods = serve;
        let wait = symptoms.waited.or(fleet_snapshot.wait).unwrap_or_default();
        steps.push(Step::KeptWhileWaiting {
            wait: latency(wait),
            replicas: serve,
        });
    }
}

fn latency(seconds: f64) -> Latency {
    Latency::from_secs_f64(seconds).unwrap_or(Latency::ZERO)
}
