//! A scaler, and what it was told lately: any decision can be made again elsewhere.

use std::sync::Arc;

use pushscale_api::PushScalerSpec;
use pushscale_api::recording::{
    Expected, Fact, RecordedFact, RecordedPod, RecordedReading, RecordedStep, Recording,
};
use pushscale_decision::{
    Conditions, Decision, Moment, Pod, PodUid, Policy, Reading, Rejection, Scaler, Snapshot,
    TargetState,
};

/// Facts that a stretch holds before anybody has said how many.
const FIRST_LENGTH: usize = 4000;

/// So many times as many facts without any decision begin a new stretch.
const FLOOD: usize = 4;

/// A scaler that is told through this, so that what it is told is kept.
pub(super) struct Recorded {
    scaler: Scaler,
    spec: Option<Arc<PushScalerSpec>>,
    scheduled: Option<u32>,
    /// The stretch that is being written, and the one before it. A new one begins with what the scaler remembers then.
    now: Stretch,
    before: Option<Stretch>,
    /// Facts and decisions that a stretch holds.
    length: usize,
}

struct Stretch {
    began: Moment,
    spec: Option<Arc<PushScalerSpec>>,
    memory: Snapshot,
    entries: Vec<(Moment, Told)>,
}

/// What happened. Kept as it came; made into JSON when somebody asks.
enum Told {
    Pod(PodUid, Pod),
    Gone(PodUid),
    Reading(PodUid, Moment, Reading),
    Wrote { from: u32, to: u32 },
    WriteFailed(String),
    Scheduled(Option<u32>),
    Spec(Arc<PushScalerSpec>),
    Decided(Box<(TargetState, Decision)>),
}

impl Recorded {
    pub(super) fn new(
        policy: Policy,
        spec: Option<Arc<PushScalerSpec>>,
        conditions: Conditions,
    ) -> Self {
        let scaler = Scaler::new(policy, conditions);
        let now = Stretch {
            began: Moment::ORIGIN,
            spec: spec.clone(),
            memory: scaler.snapshot(),
            entries: Vec::new(),
        };
        Self {
            scaler,
            spec,
            scheduled: None,
            now,
            before: None,
            length: FIRST_LENGTH,
        }
    }

    /// Keeps so many facts in one stretch from now on.
    pub(super) fn keep(&mut self, length: usize) {
        self.length = length;
    }

    pub(super) fn conditions(&self) -> &Conditions {
        self.scaler.conditions()
    }

    pub(super) fn set_policy(
        &mut self,
        now: Moment,
        policy: Policy,
        spec: Option<Arc<PushScalerSpec>>,
    ) {
        self.scaler.set_policy(policy);
        self.spec.clone_from(&spec);
        if let Some(spec) = spec {
            self.tell(now, Told::Spec(spec));
        }
    }

    pub(super) fn set_scheduled_floor(&mut self, now: Moment, replicas: Option<u32>) {
        if self.scheduled == replicas {
            return;
        }
        self.scheduled = replicas;
        self.scaler.set_scheduled_floor(replicas);
        self.tell(now, Told::Scheduled(replicas));
    }

    pub(super) fn apply_pod(&mut self, now: Moment, uid: PodUid, pod: Pod) {
        self.scaler.apply_pod(now, uid.clone(), pod.clone());
        self.tell(now, Told::Pod(uid, pod));
    }

    pub(super) fn remove_pod(&mut self, now: Moment, uid: &PodUid) {
        self.scaler.remove_pod(uid);
        self.tell(now, Told::Gone(uid.clone()));
    }

    /// A refused reading changes nothing, so it is not kept.
    pub(super) fn learn(
        &mut self,
        now: Moment,
        uid: &PodUid,
        taken: Moment,
        reading: &Reading,
    ) -> Result<(), Rejection> {
        self.scaler.learn(now, uid, taken, reading)?;
        self.tell(now, Told::Reading(uid.clone(), taken, reading.clone()));
        Ok(())
    }

    pub(super) fn record_scale(&mut self, now: Moment, from: u32, to: u32) {
        self.scaler.record_scale(now, from, to);
        self.tell(now, Told::Wrote { from, to });
    }

    pub(super) fn record_scale_failure(&mut self, now: Moment, message: &str) {
        self.scaler.record_scale_failure(message);
        self.tell(now, Told::WriteFailed(message.to_owned()));
    }

    pub(super) fn decide(&mut self, now: Moment, target: &TargetState) -> Decision {
        let decision = self.scaler.decide(now, target).clone();
        let told = Box::new((target.clone(), decision.clone()));
        self.tell(now, Told::Decided(told));
        // Between a decision and the next fact, so that no decision is torn from what led to it.
        if self.now.entries.len() >= self.length {
            self.before = Some(self.begin_anew(now));
        }
        decision
    }

    fn tell(&mut self, now: Moment, told: Told) {
        self.now.entries.push((now, told));
        if self.now.entries.len() >= FLOOD * self.length.max(1) {
            // Nothing is decided, only told: what led to nothing is not worth its memory.
            self.begin_anew(now);
        }
    }

    fn begin_anew(&mut self, now: Moment) -> Stretch {
        let next = Stretch {
            began: now,
            spec: self.spec.clone(),
            memory: self.scaler.snapshot(),
            entries: Vec::new(),
        };
        std::mem::replace(&mut self.now, next)
    }

    /// What is kept, oldest first.
    pub(super) fn recordings(&self, name: &str) -> Vec<Recording> {
        self.before
            .iter()
            .chain([&self.now])
            .filter_map(|stretch| stretch.recording(name))
            .collect()
    }
}

impl Stretch {
    fn recording(&self, name: &str) -> Option<Recording> {
        let mut steps = Vec::new();
        let mut facts = Vec::new();
        for (at, told) in &self.entries {
            let fact = match told {
                Told::Decided(decided) => {
                    let (target, decision) = &**decided;
                    steps.push(RecordedStep {
                        facts: std::mem::take(&mut facts),
                        at_nanos: nanos(*at),
                        target: target.into(),
                        expect: Some(Expected::of(decision)),
                    });
                    continue;
                }
                Told::Pod(uid, pod) => Fact::Pod(RecordedPod::new(uid.as_str(), pod)),
                Told::Gone(uid) => Fact::Gone(uid.as_str().to_owned()),
                Told::Reading(uid, taken, reading) => {
                    Fact::Reading(RecordedReading::new(uid.as_str(), *taken, reading))
                }
                Told::Wrote { from, to } => Fact::Wrote {
                    from: *from,
                    to: *to,
                },
                Told::WriteFailed(message) => Fact::WriteFailed(message.clone()),
                Told::Scheduled(replicas) => Fact::Scheduled(*replicas),
                Told::Spec(spec) => Fact::Spec(Box::new(PushScalerSpec::clone(spec))),
            };
            facts.push(RecordedFact::new(*at, fact));
        }
        (!steps.is_empty()).then_some(())?;
        Some(Recording {
            name: format!("{name} from {} s on", self.began.since_origin().as_secs()),
            release: env!("CARGO_PKG_VERSION").to_owned(),
            spec: PushScalerSpec::clone(self.spec.as_ref()?),
            memory: Some(self.memory.to_string()),
            steps,
        })
    }
}

fn nanos(at: Moment) -> u64 {
    u64::try_from(at.since_origin().as_nanos()).unwrap_or(u64::MAX)
}
