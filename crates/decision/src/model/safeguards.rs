//! Safeguards that correct a plan where the model may be wrong.

use crate::latency::Latency;
use crate::step::Step;

use super::capacity::Capacity;
use super::evidence::{PERSISTENCE, VIOLATION_FACTOR, recent_seconds};
use super::fleet_snapshot::FleetSnapshot;
use super::observe::Inputs;
use super::plan::{Plan, PlanReason};
use super::rules::Rule;
use super::state::ModelState;
use crate::numbers::to_u32_saturating;

/// The coverage that the time needs in which no request completes (I7). The newest second is never covered, and a
/// sidecar's second is sometimes slightly short: with 0.9 the condition would flap.
const STUCK_COVERAGE: f64 = 0.8;

impl ModelState {
    /// Corrects the plan, and adds a step for each correction.
    pub(super) fn apply_safeguards(
        &mut self,
        inputs: &Inputs<'_>,
        plan: &mut Plan,
        steps: &mut Vec<Step>,
    ) {
        keep_while_waiting(inputs, plan, steps);
        let (pods, current) = (&inputs.pods, inputs.situation.current);
        // If enough pods serve, the overdue ones belong to a rollout, and more replicas would also add pods of the old
        // version.
        let overdue = pods.overdue.min(current.saturating_sub(pods.ready));
        if plan.pods > current
            && overdue > 0
            && overdue >= current.div_ceil(2)
            && Rule::Overdue.applies()
        {
            // More pods of a version that does not become ready do not help.
            plan.pods = current;
            steps.push(Step::Overdue { pods: overdue });
        }
        plan.stuck = inputs.is_stuck;
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
        self.guard_latency(inputs, plan, steps);
    }

    /// Returns whether requests arrive and none completes, although completed requests are counted.
    ///
    /// Noticing it takes readings of most of the last seconds, and keeping it does not: on a busy machine, they covered
    /// fewer now and then, and the condition reported that requests complete again, while none did.
    pub(super) fn is_stuck(&self, capacity: &Capacity, fleet_snapshot: &FleetSnapshot) -> bool {
        let idle = recent_seconds(capacity.service);
        let span = idle.min(300.0);
        let window = self.second_buckets.window(to_u32_saturating(span).into());
        let since_completed = self.second_buckets.now().saturating_sub(self.completed_at);
        let is_noticed = window.seconds >= STUCK_COVERAGE * span && window.arrivals >= 1.0;
        fleet_snapshot.counting > 0
            && (is_noticed || self.stuck.is_some())
            && since_completed >= u64::from(to_u32_saturating(idle))
            && fleet_snapshot.in_system >= 1.0
    }

    /// With incomplete metrics the model may underestimate the load: violations that last double the replicas, once the
    /// pods that were ordered before have served for as long.
    fn guard_latency(&mut self, inputs: &Inputs<'_>, plan: &mut Plan, steps: &mut Vec<Step>) {
        let situation = &inputs.situation;
        let wait = inputs.pods.wait.unwrap_or_default();
        let unguarded = plan.incomplete.is_some()
            && plan.pods <= situation.current
            && inputs.uneven.is_none()
            && Rule::LatencyGuard.applies();
        if !unguarded || wait <= VIOLATION_FACTOR * inputs.capacity.target {
            self.late_since = None;
            return;
        }
        if inputs.pods.starting > 0 {
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
fn keep_while_waiting(inputs: &Inputs<'_>, plan: &mut Plan, steps: &mut Vec<Step>) {
    let late = inputs
        .waited
        .is_some_and(|wait| wait > inputs.capacity.target);
    let unknown = inputs.waited.is_none() && inputs.pods.in_system > 0.0;
    let serving = inputs.pods.ready.min(inputs.situation.current);
    // Idle pods do not serve the requests that wait in other pods.
    if inputs.uneven.is_some() || !Rule::KeptWhileWaiting.applies() {
        return;
    }
    if plan.pods < serving && (late || inputs.is_waiting || unknown) {
        plan.pods = serving;
        let wait = inputs.waited.or(inputs.pods.wait).unwrap_or_default();
        steps.push(Step::KeptWhileWaiting {
            wait: latency(wait),
            replicas: serving,
        });
    }
}

fn latency(seconds: f64) -> Latency {
    Latency::from_secs_f64(seconds).unwrap_or(Latency::ZERO)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::conditions::{Conditions, Reason};
    use crate::latency::Latency;
    use crate::moment::Moment;
    use crate::pod::{Pod, PodUid};
    use crate::policy::{Algorithm, Bounds, Policy, TargetLatency};
    use crate::reading::{Counters, ModelReading, Queue, Reading, ServerState};
    use crate::scaler::Scaler;
    use crate::target::{Selector, TargetState};

    /// A pod that gets two requests per second, of 100 ms each, and is stuck after 180.
    fn reading(millis: u64) -> Reading {
        let clock = Duration::from_millis(millis);
        let arrivals = u32::try_from(millis / 500).unwrap();
        let completed = arrivals.min(180);
        let waiting = arrivals - completed;
        Reading {
            source: 1,
            sequence: millis,
            clock,
            fresh_for: Duration::from_secs(5),
            server: ServerState::Ready,
            models: vec![ModelReading {
                name: "m".to_owned(),
                queue_latency: Some(Latency::ZERO),
                counters: Some(Counters {
                    arrivals: arrivals.into(),
                    completed: Some(completed.into()),
                    total_sojourn: Duration::from_millis(100) * completed,
                    ..Counters::default()
                }),
                queue: Some(Queue {
                    waiting,
                    in_flight: waiting.min(1),
                    workers: 1,
                    batch_size: 1,
                    ..Queue::default()
                }),
                service_time: None,
            }],
            ..Reading::blank()
        }
    }

    /// Readings that are 1.4 s apart cover seven of ten seconds.
    #[test]
    fn a_stuck_pod_stays_stuck_with_fewer_readings() {
        let target = TargetLatency::new(Latency::from_nanos(1_000_000_000)).unwrap();
        let policy = Policy {
            algorithm: Algorithm::Model,
            ..Policy::new(Bounds::new(1, 1).unwrap(), target)
        };
        let mut scaler = Scaler::new(policy, Conditions::default());
        let uid = PodUid::from("a");
        scaler.apply_pod(Moment::ORIGIN, uid.clone(), Pod::running("a"));
        let state = TargetState::Known {
            replicas: 1,
            existing: None,
            selector: Selector::Usable,
            deletes_slow_first: true,
        };
        let mut reason = |millis: u64| {
            let now = Moment::ORIGIN.plus(Duration::from_millis(millis));
            scaler.learn(now, &uid, now, &reading(millis)).unwrap();
            let stuck = &scaler.decide(now, &state).conditions.stuck;
            stuck.as_ref().map(|condition| condition.reason)
        };
        let often: Vec<_> = (500..105_000).step_by(500).map(&mut reason).collect();
        assert_eq!(often.last(), Some(&Some(Reason::NoRequestsCompleted)));
        for millis in (106_000..140_000).step_by(1400) {
            assert_eq!(
                reason(millis),
                Some(Reason::NoRequestsCompleted),
                "{millis} ms"
            );
        }
    }
}
