//! Decides by the spec: the engine, why there is none, and its last decision.

use std::sync::Arc;
use std::time::Duration;

use pushscale_api::names::conditions::SCALING_ACTIVE;
use pushscale_api::{SpecProblem, conditions};
use pushscale_decision::{
    Conditions, Decision, FleetLoad, Hold, Mode, Moment, Outcome, Pod, PodUid, TargetState,
};

use pushscale_external_metrics::Sample;

use super::RecordedSegments;
use super::floor::ScheduledFloor;
use super::load_clock::LoadClock;
use super::recorder::Recorder;
use crate::control_loop::effect::{Context, Decided, Effect};
use crate::event::ScalerFacts;
use crate::history::{LOAD_SECONDS, LoadSample};
use crate::metrics::ScalerSample;

/// The engine of one scaler and its last decision.
pub(crate) struct Decisions {
    /// The generation of the spec.
    generation: Option<i64>,
    /// The decision engine; `None` until the spec is valid for the first time. An edit that makes the spec invalid
    /// keeps the engine, which continues to learn: a typo in a time zone must not discard it.
    engine: Option<Box<Recorder>>,
    /// Why nothing is decided; empty if the spec is valid.
    spec_problems: Vec<SpecProblem>,
    /// The conditions that a new engine starts with, from the status.
    restored_conditions: Conditions,
    floor: ScheduledFloor,
    last: Option<Arc<Decision>>,
    /// The generation of the spec that the last decision followed. The spec may have changed since.
    decided_generation: Option<i64>,
    /// Which part of the load is recorded next.
    load_clock: LoadClock,
}

/// What a status explains.
pub(super) enum Explained<'a> {
    Decision {
        generation: Option<i64>,
        decision: &'a Decision,
        /// May be newer than the decision's own, if a write has ended since.
        conditions: &'a Conditions,
    },
    InvalidSpec {
        generation: Option<i64>,
        problems: &'a [SpecProblem],
    },
}

impl Decisions {
    /// Returns the state before the first spec is applied.
    pub(super) fn new(restored_conditions: Conditions) -> Self {
        Self {
            generation: None,
            engine: None,
            spec_problems: Vec::new(),
            restored_conditions,
            floor: ScheduledFloor::default(),
            last: None,
            decided_generation: None,
            load_clock: LoadClock::default(),
        }
    }

    /// Whether the spec of `facts` has been applied. A status write does not change the generation.
    pub(super) fn has_spec_of(&self, facts: &ScalerFacts) -> bool {
        self.generation == facts.generation && self.generation.is_some()
    }

    /// Applies a changed spec. What the engine has learned is kept. A new engine knows these pods, since the watch
    /// reports each of them once. Returns whether the mode is Apply.
    pub(super) fn apply_spec<'a>(
        &mut self,
        now: Moment,
        facts: &ScalerFacts,
        pods: impl Iterator<Item = (&'a PodUid, &'a Pod)>,
    ) -> bool {
        self.generation = facts.generation;
        self.floor = ScheduledFloor::new(facts.schedules.clone());
        let policy = match &facts.policy {
            Ok(policy) => policy.clone(),
            Err(problems) => {
                self.spec_problems.clone_from(problems);
                return false;
            }
        };
        self.spec_problems.clear();
        let applies = policy.mode == Mode::Apply;
        match &mut self.engine {
            Some(engine) => engine.set_policy(now, policy, facts.spec.clone()),
            None => {
                let conditions = std::mem::take(&mut self.restored_conditions);
                let mut engine = Box::new(Recorder::new(policy, facts.spec.clone(), conditions));
                for (uid, pod) in pods {
                    engine.apply_pod(now, uid.clone(), pod.clone());
                }
                self.engine = Some(engine);
            }
        }
        applies
    }

    /// Returns what is wrong with the spec.
    pub(super) fn spec_problems(&self) -> &[SpecProblem] {
        &self.spec_problems
    }

    /// Returns what is wrong with the spec, as text.
    pub(crate) fn problem_texts(&self) -> Vec<String> {
        self.spec_problems.iter().map(ToString::to_string).collect()
    }

    pub(super) fn engine(&self) -> Option<&Recorder> {
        self.engine.as_deref()
    }

    pub(super) fn engine_mut(&mut self) -> Option<&mut Recorder> {
        self.engine.as_deref_mut()
    }

    pub(super) fn last(&self) -> Option<&Arc<Decision>> {
        self.last.as_ref()
    }

    /// Decides. Returns the decision and when to decide again: at the change of the scheduled floor at the latest.
    pub(super) fn decide(
        &mut self,
        context: &Context,
        target: &TargetState,
        recorded_bytes: usize,
    ) -> Option<(Decision, Moment)> {
        let (now, clock) = (context.now, context.clock);
        let floor = self.floor.at(clock);
        let engine = self.engine.as_mut()?;
        engine.set_capacity(recorded_bytes);
        engine.set_scheduled_floor(now, floor.replicas);
        let decision = engine.decide(now, target);
        let until = floor.until.map(|until| Duration::try_from(until - clock));
        let wake_at = match until {
            Some(Ok(remaining)) => decision.wake_at.min(now.plus(remaining)),
            Some(Err(_)) | None => decision.wake_at,
        };
        Some((decision, wake_at))
    }

    /// Records a decision, which could be written if this aggregator `leads`, and the load.
    pub(super) fn record(&mut self, context: &mut Context, decision: Decision, leads: bool) {
        let decision = Arc::new(decision);
        context.push(Effect::Decided(Decided {
            decision: Arc::clone(&decision),
            is_new: self.is_new(&decision),
            leads,
        }));
        self.last = Some(decision);
        self.decided_generation = self.generation;
        self.record_load(context);
    }

    /// Whether the decision's outcome differs from the last one's.
    fn is_new(&self, decision: &Decision) -> bool {
        match (&decision.outcome, &self.last) {
            (Outcome::Scale { .. }, _) | (_, None) => true,
            (outcome, Some(last)) => *outcome != last.outcome,
        }
    }

    /// Records the load of each ten seconds once they are complete.
    fn record_load(&mut self, context: &mut Context) {
        let Some(engine) = &self.engine else { return };
        for number in self.load_clock.completed(context.now) {
            let length = u64::from(LOAD_SECONDS);
            let seconds = number * length..(number + 1) * length;
            let age = context.now.since(Moment::from_secs(seconds.start));
            context.push(Effect::Load(LoadSample {
                number,
                start: context.clock.checked_sub(age).unwrap_or_default(),
                load: engine.measured_load(seconds),
            }));
        }
    }

    /// Returns why the last decision changes the replica count.
    pub(super) fn last_scale_reason(&self) -> String {
        match self.last.as_ref().map(|last| &last.outcome) {
            Some(Outcome::Scale { reason, .. }) => reason.to_string(),
            _ => String::new(),
        }
    }

    /// Returns the last decision with the current conditions, or what is wrong with the spec; `None` before both.
    pub(super) fn explained(&self) -> Option<Explained<'_>> {
        if !self.spec_problems.is_empty() {
            return Some(Explained::InvalidSpec {
                generation: self.generation,
                problems: &self.spec_problems,
            });
        }
        Some(Explained::Decision {
            generation: self.decided_generation,
            decision: self.last.as_deref()?,
            conditions: self.engine()?.conditions(),
        })
    }

    /// Returns the last decision and the current conditions, for the metrics.
    pub(crate) fn sample(&self) -> ScalerSample {
        let (decision, current) = match self.explained() {
            Some(Explained::InvalidSpec { .. }) => {
                let mut sample = ScalerSample::default();
                sample.conditions[0] = Some((SCALING_ACTIVE, false));
                return sample;
            }
            Some(Explained::Decision {
                decision,
                conditions,
                ..
            }) => (decision, conditions),
            None => return ScalerSample::default(),
        };
        let metric = decision.metrics.iter().max_by_key(|metric| metric.proposed);
        ScalerSample {
            desired_replicas: decision.desired(),
            current_replicas: decision.current,
            latency_seconds: metric.map(|metric| metric.average.as_secs_f64()),
            wait_percentile_seconds: metric
                .and_then(|metric| Some(metric.percentile?.as_secs_f64())),
            pods: Some((decision.freshness.fresh, decision.freshness.running())),
            conditions: conditions::by_type(current)
                .map(|(name, found)| found.as_ref().map(|condition| (name, condition.status))),
        }
    }

    /// Returns the last decision and the load of the pods, for the external metrics. A scaler whose spec was never
    /// valid has measured no pods. The last decision may be older than `at_zero`, whether the target is scaled to
    /// zero: with an invalid spec nothing is decided.
    pub(crate) fn external_sample(&self, context: &Context, at_zero: bool) -> Sample {
        let load = self.engine().map(|engine| engine.load(context.now));
        let load = load.unwrap_or_default();
        Sample {
            decided: context.instant,
            timestamp: context.clock,
            desired: self.desired(&load),
            at_zero,
            load,
        }
    }

    /// Returns the desired replicas for the external metrics, or why there are none. If nothing was computed, the
    /// current replicas are not a recommendation, unless there is nothing to measure yet.
    fn desired(&self, load: &FleetLoad) -> Result<u32, Arc<str>> {
        if let Some(problem) = self.spec_problems.first() {
            return Err(Arc::from(format!("its spec is invalid: {problem}")));
        }
        let (Some(decision), Some(engine)) = (&self.last, &self.engine) else {
            return Err(Arc::from("nothing has been decided yet"));
        };
        match (&decision.outcome, decision.desired_for_others()) {
            (Outcome::Hold(Hold::Disabled), _) => Ok(engine.start_replicas()),
            (Outcome::Hold(Hold::InsufficientData), Some(current)) if load.running == 0 => {
                Ok(current)
            }
            (Outcome::Hold(hold), _) if *hold != Hold::RightSize => {
                Err(Arc::from(format!("it computes no replicas: {hold}")))
            }
            (_, Some(desired)) => Ok(desired),
            (_, None) => Err(Arc::from("the current replicas are unknown")),
        }
    }

    /// Returns the recorded decisions.
    pub(crate) fn recordings(&mut self, now: Moment) -> RecordedSegments {
        match &mut self.engine {
            Some(engine) => engine.recordings(now),
            None => RecordedSegments(Vec::new()),
        }
    }
}
