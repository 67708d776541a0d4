//! One scaler: it is told facts, it is asked what to do, it answers with reasons.

use std::sync::Arc;
use std::time::Duration;

use crate::average::Groups;
use crate::conditions::{Condition, Conditions, Reason};
use crate::decision::Decision;
use crate::fleet::Fleet;
use crate::limits::History;
use crate::model::{Census, ModelState, StartDelay};
use crate::moment::Moment;
use crate::pass::Pass;
use crate::pod::{Pod, PodUid};
use crate::policy::{Algorithm, Policy, SYNC_PERIOD};
use crate::reading::{Reading, Refusal, ServerState};
use crate::stabilize::Recommendations;
use crate::tape::Tape;
use crate::target::TargetFacts;

/// Models of one pod that the queue model follows; a pod of more is beyond what TorchServe is used for.
const MODELS: usize = 16;

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
    pub(crate) models: Vec<ModelState>,
    pub(crate) start_delay: StartDelay,
    /// A schedule's floor.
    pub(crate) scheduled: Option<u32>,
    /// Since when no metric can be computed.
    pub(crate) unknown_since: Option<Moment>,
    /// The last answer, in whose memory the next one is written.
    pub(crate) decision: Decision,
    pub(crate) groups: Groups,
    pub(crate) census: Census,
}

impl Scaler {
    /// A scaler without memory. `conditions` are those of before a restart, which live in the status.
    pub fn new(policy: Policy, conditions: Conditions) -> Self {
        Self {
            policy,
            fleet: Fleet::default(),
            recommendations: Recommendations::default(),
            history: History::default(),
            models: Vec::new(),
            start_delay: StartDelay::default(),
            scheduled: None,
            unknown_since: None,
            decision: Decision::none(conditions),
            groups: Groups::default(),
            census: Census::default(),
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

    /// From now on a schedule asks for at least so many replicas, or for none.
    pub fn set_scheduled(&mut self, replicas: Option<u32>) {
        self.scheduled = replicas;
    }

    /// A pod is new under the target's selector, or Kubernetes says something new of it at `now`.
    pub fn apply_pod(&mut self, now: Moment, uid: PodUid, pod: Pod) {
        if let Some(took) = self.fleet.apply(now, uid, pod) {
            self.start_delay.learn(took);
        }
    }

    /// A pod is gone.
    pub fn forget_pod(&mut self, uid: &PodUid) {
        self.fleet.forget(uid);
    }

    /// Takes a reading that arrived at `now`, or says why it is refused. A refused one changes nothing.
    ///
    /// # Errors
    /// Why it is refused.
    pub fn learn(&mut self, now: Moment, uid: &PodUid, reading: &Reading) -> Result<(), Refusal> {
        let member = self.fleet.learn(now, uid, reading)?;
        let good = matches!(
            reading.server,
            ServerState::Ready | ServerState::NoSamplesYet | ServerState::WarmingUp
        );
        if self.policy.algorithm != Algorithm::Model || !good {
            return Ok(());
        }
        if self.models.is_empty() && reading.models.is_empty() {
            // A fleet that has had no request yet is known to be idle, whatever its models are called.
            self.models.push(ModelState::new("".into()));
        }
        for told in &reading.models {
            let known = self.models.iter().any(|model| *model.name == *told.name);
            if !known && self.models.len() < MODELS {
                let name: Arc<str> = told.name.as_str().into();
                self.models.push(ModelState::new(name));
            }
        }
        let serves = member.pod.ready && !member.pod.deleting && !reading.leaving;
        // A pod that was seen to begin has counted from its first request on, which came a second ago at the most.
        let earliest = Moment::at(
            reading
                .taken
                .since_origin()
                .saturating_sub(Duration::from_secs(1)),
        );
        let new = member.began.map(|began| began.min(earliest));
        member
            .traces
            .resize_with(self.models.len(), Default::default);
        for (model, trace) in self.models.iter_mut().zip(&mut member.traces) {
            let told = reading.of_model(&model.name);
            model.learn(trace, reading.taken, told, new, serves);
        }
        Ok(())
    }

    /// What it remembers, written down.
    pub fn record(&self) -> Tape {
        let mut tape = Tape::default();
        self.clone().on_tape(&mut tape);
        tape
    }

    /// A scaler that remembers what was written down; `None` if the tape is not whole, or another release's.
    pub fn recall(policy: Policy, mut tape: Tape) -> Option<Self> {
        tape.play();
        let mut scaler = Self::new(policy, Conditions::default());
        scaler.on_tape(&mut tape);
        tape.ended_well().then_some(scaler)
    }

    fn on_tape(&mut self, tape: &mut Tape) {
        self.fleet.on_tape(tape);
        self.recommendations.on_tape(tape);
        self.history.on_tape(tape);
        let blank = || ModelState::new("".into());
        tape.list(&mut self.models, blank, |tape, model| model.on_tape(tape));
        self.start_delay.on_tape(tape);
        tape.option(&mut self.scheduled, u32::default, Tape::number);
        tape.option(&mut self.unknown_since, || Moment::ORIGIN, Tape::moment);
        self.decision.conditions.on_tape(tape);
    }

    /// The size was written.
    pub fn wrote(&mut self, now: Moment, from: u32, to: u32) {
        self.history
            .wrote(now, self.policy.behavior.as_ref(), from, to);
        Condition::set(
            &mut self.decision.conditions.able_to_scale,
            true,
            Reason::SucceededRescale,
            format_args!("the target was scaled from {from} to {to}"),
        );
    }

    /// The size could not be written.
    pub fn failed_to_write(&mut self, message: &str) {
        Condition::set(
            &mut self.decision.conditions.able_to_scale,
            false,
            Reason::FailedUpdateScale,
            format_args!("the new size could not be written: {message}"),
        );
    }

    /// The conditions as they stand.
    pub fn conditions(&self) -> &Conditions {
        &self.decision.conditions
    }

    /// What to do at `now`, given what is known.
    ///
    /// Follows the HPA's pass step by step (its `horizontal.go`); each step that mattered is in the answer. The answer is
    /// kept until the next one is asked for.
    pub fn decide(&mut self, now: Moment, target: &TargetFacts) -> &Decision {
        let decision = &mut self.decision;
        decision.at = now;
        decision.steps.clear();
        decision.figures.clear();
        decision.warnings.clear();
        decision.freshness.count(self.fleet.members(), now);
        decision.freshness.tell(&mut decision.conditions.fresh);
        let (current, outcome) = Pass::new(now, self).run(target);
        let wake_at = self.wake_at(now);
        let decision = &mut self.decision;
        decision.current = current;
        decision.outcome = outcome;
        decision.wake_at = wake_at;
        decision
    }

    /// The last answer.
    pub fn decision(&self) -> &Decision {
        &self.decision
    }

    /// The next moment at which an answer may change by time alone: a reading turns stale, the fallback begins, or at
    /// the latest the HPA's own period, after which windows and rate limits have moved.
    fn wake_at(&self, now: Moment) -> Moment {
        let fallback = self
            .unknown_since
            .zip(self.policy.fallback)
            .map(|(since, fallback)| since.plus(fallback.after))
            .filter(|at| *at > now);
        self.fleet
            .members()
            .filter_map(|view| view.fresh(now))
            .map(|reading| {
                reading
                    .taken
                    .plus(reading.fresh_for)
                    .plus(Duration::from_millis(1))
            })
            .chain(fallback)
            .fold(now.plus(SYNC_PERIOD), Moment::min)
    }
}
