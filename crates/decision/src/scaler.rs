//! One scaler: it is told facts, it is asked what to do, it answers with reasons.

use std::time::Duration;

use crate::conditions::{Condition, Conditions, Reason};
use crate::decision::Decision;
use crate::fleet::Fleet;
use crate::freshness::Freshness;
use crate::limits::History;
use crate::moment::Moment;
use crate::pass::Pass;
use crate::pod::{Pod, PodUid};
use crate::policy::{Policy, SYNC_PERIOD};
use crate::reading::{Reading, Refusal};
use crate::stabilize::Recommendations;
use crate::target::TargetFacts;

/// Everything that is remembered for one target.
///
/// It forgets nothing by itself and does nothing by itself: facts come in by [`apply_pod`](Self::apply_pod),
/// [`learn`](Self::learn), [`wrote`](Self::wrote); [`decide`](Self::decide) answers.
#[derive(Clone, Debug)]
pub struct Scaler {
    pub(crate) policy: Policy,
    pub(crate) fleet: Fleet,
    pub(crate) recommendations: Recommendations,
    pub(crate) history: History,
    pub(crate) conditions: Conditions,
}

impl Scaler {
    /// A scaler without memory. `conditions` are those of before a restart, which live in the status.
    pub fn new(policy: Policy, conditions: Conditions) -> Self {
        Self {
            policy,
            fleet: Fleet::default(),
            recommendations: Recommendations::default(),
            history: History::default(),
            conditions,
        }
    }

    /// The policy in force.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// From now on this policy. What is remembered stays.
    pub fn set_policy(&mut self, policy: Policy) {
        self.policy = policy;
    }

    /// A pod is new under the target's selector, or Kubernetes says something new of it.
    pub fn apply_pod(&mut self, uid: PodUid, pod: Pod) {
        self.fleet.apply(uid, pod);
    }

    /// A pod is gone.
    pub fn forget_pod(&mut self, uid: &PodUid) {
        self.fleet.forget(uid);
    }

    /// Takes a reading that arrived at `now`, or says why it is refused. A refused one changes nothing.
    pub fn learn(&mut self, now: Moment, uid: &PodUid, reading: Reading) -> Result<(), Refusal> {
        self.fleet.learn(now, uid, reading)
    }

    /// The size was written.
    pub fn wrote(&mut self, now: Moment, from: u32, to: u32) {
        self.history
            .wrote(now, self.policy.behavior.as_ref(), from, to);
        self.conditions.able_to_scale = Condition::yes(
            Reason::SucceededRescale,
            format!("the target was scaled from {from} to {to}"),
        );
    }

    /// The size could not be written.
    pub fn failed_to_write(&mut self, message: &str) {
        self.conditions.able_to_scale = Condition::no(
            Reason::FailedUpdateScale,
            format!("the new size could not be written: {message}"),
        );
    }

    /// The conditions as they stand.
    pub fn conditions(&self) -> &Conditions {
        &self.conditions
    }

    /// What to do at `now`, given what is known.
    ///
    /// Follows the HPA's pass step by step (hpa-spec 2.2); each step that mattered is in the answer.
    pub fn decide(&mut self, now: Moment, target: &TargetFacts) -> Decision {
        let freshness = Freshness::of(self.fleet.members(), now);
        self.conditions.fresh = freshness.condition();
        let done = Pass::new(now, self).run(target);
        Decision {
            at: now,
            current: done.current,
            outcome: done.outcome,
            steps: done.steps,
            figures: done.figures,
            freshness,
            conditions: self.conditions.clone(),
            warnings: done.warnings,
            wake_at: self.wake_at(now),
        }
    }

    /// The next moment at which an answer may change by time alone: a reading turns stale, or at the latest
    /// the HPA's own period, after which windows and rate limits have moved.
    fn wake_at(&self, now: Moment) -> Moment {
        self.fleet
            .members()
            .filter_map(|view| view.fresh(now))
            .map(|reading| {
                reading
                    .taken
                    .plus(reading.fresh_for)
                    .plus(Duration::from_millis(1))
            })
            .fold(now.plus(SYNC_PERIOD), Moment::min)
    }
}
