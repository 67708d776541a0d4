//! Records the recent inputs of a scaler, so that its decisions can be replayed elsewhere.

use std::sync::Arc;

use pushscale_api::PushScalerSpec;
use pushscale_api::recording::{
    Expected, Fact, RecordedFact, RecordedPod, RecordedReading, RecordedStep, Recording,
};
use pushscale_decision::{
    Conditions, Decision, Moment, Pod, PodUid, Policy, Reading, Rejection, Scaler, Snapshot,
    TargetState,
};

/// Initial capacity of a segment, in facts.
const INITIAL_CAPACITY: usize = 4000;

/// A segment is dropped when it exceeds its capacity by this factor without a decision.
const OVERFLOW_FACTOR: usize = 4;

/// A scaler whose inputs are recorded.
pub(super) struct Recorder {
    scaler: Scaler,
    spec: Option<Arc<PushScalerSpec>>,
    scheduled: Option<u32>,
    /// The segment being written. Each segment begins with a snapshot of the scaler.
    current: Segment,
    previous: Option<Segment>,
    /// Capacity of a segment, in facts and decisions.
    capacity: usize,
}

struct Segment {
    began: Moment,
    spec: Option<Arc<PushScalerSpec>>,
    memory: Snapshot,
    entries: Vec<(Moment, Entry)>,
}

/// An input or a decision of the scaler. Converted to JSON on request.
enum Entry {
    Pod(PodUid, Pod),
    PodDeleted(PodUid),
    Reading(PodUid, Moment, Reading),
    Wrote { from: u32, to: u32 },
    WriteFailed(String),
    Scheduled(Option<u32>),
    Spec(Arc<PushScalerSpec>),
    Decided(Box<(TargetState, Decision)>),
}

impl Recorder {
    pub(super) fn new(
        policy: Policy,
        spec: Option<Arc<PushScalerSpec>>,
        conditions: Conditions,
    ) -> Self {
        let scaler = Scaler::new(policy, conditions);
        let current = Segment {
            began: Moment::ORIGIN,
            spec: spec.clone(),
            memory: scaler.snapshot(),
            entries: Vec::new(),
        };
        Self {
            scaler,
            spec,
            scheduled: None,
            current,
            previous: None,
            capacity: INITIAL_CAPACITY,
        }
    }

    /// Sets the capacity of a segment, in facts and decisions.
    pub(super) fn set_capacity(&mut self, capacity: usize) {
        self.capacity = capacity;
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
            self.record(now, Entry::Spec(spec));
        }
    }

    pub(super) fn set_scheduled_floor(&mut self, now: Moment, replicas: Option<u32>) {
        if self.scheduled == replicas {
            return;
        }
        self.scheduled = replicas;
        self.scaler.set_scheduled_floor(replicas);
        self.record(now, Entry::Scheduled(replicas));
    }

    pub(super) fn apply_pod(&mut self, now: Moment, uid: PodUid, pod: Pod) {
        self.scaler.apply_pod(now, uid.clone(), pod.clone());
        self.record(now, Entry::Pod(uid, pod));
    }

    pub(super) fn remove_pod(&mut self, now: Moment, uid: &PodUid) {
        self.scaler.remove_pod(uid);
        self.record(now, Entry::PodDeleted(uid.clone()));
    }

    /// Rejected readings change nothing, so they are not recorded.
    pub(super) fn learn(
        &mut self,
        now: Moment,
        uid: &PodUid,
        taken: Moment,
        reading: &Reading,
    ) -> Result<(), Rejection> {
        self.scaler.learn(now, uid, taken, reading)?;
        self.record(now, Entry::Reading(uid.clone(), taken, reading.clone()));
        Ok(())
    }

    pub(super) fn record_scale(&mut self, now: Moment, from: u32, to: u32) {
        self.scaler.record_scale(now, from, to);
        self.record(now, Entry::Wrote { from, to });
    }

    pub(super) fn record_scale_failure(&mut self, now: Moment, message: &str) {
        self.scaler.record_scale_failure(message);
        self.record(now, Entry::WriteFailed(message.to_owned()));
    }

    pub(super) fn decide(&mut self, now: Moment, target: &TargetState) -> Decision {
        let decision = self.scaler.decide(now, target).clone();
        let decided = Box::new((target.clone(), decision.clone()));
        self.record(now, Entry::Decided(decided));
        // A segment ends after a decision, so that every decision is in one segment with the facts before it.
        if self.current.entries.len() >= self.capacity {
            self.previous = Some(self.begin_segment(now));
        }
        decision
    }

    fn record(&mut self, now: Moment, entry: Entry) {
        self.current.entries.push((now, entry));
        if self.current.entries.len() >= OVERFLOW_FACTOR * self.capacity.max(1) {
            // Facts without a decision cannot be replayed, so they are dropped.
            self.begin_segment(now);
        }
    }

    /// Begins a new segment and returns the one before.
    fn begin_segment(&mut self, now: Moment) -> Segment {
        let next = Segment {
            began: now,
            spec: self.spec.clone(),
            memory: self.scaler.snapshot(),
            entries: Vec::new(),
        };
        std::mem::replace(&mut self.current, next)
    }

    /// Returns the recorded segments, oldest first.
    pub(super) fn recordings(&self, name: &str) -> Vec<Recording> {
        self.previous
            .iter()
            .chain([&self.current])
            .filter_map(|segment| segment.recording(name))
            .collect()
    }
}

impl Segment {
    fn recording(&self, name: &str) -> Option<Recording> {
        let mut steps = Vec::new();
        let mut facts = Vec::new();
        for (at, entry) in &self.entries {
            let fact = match entry {
                Entry::Decided(decided) => {
                    let (target, decision) = &**decided;
                    steps.push(RecordedStep {
                        facts: std::mem::take(&mut facts),
                        at_nanos: nanos(*at),
                        target: target.into(),
                        expect: Some(Expected::of(decision)),
                    });
                    continue;
                }
                Entry::Pod(uid, pod) => Fact::Pod(RecordedPod::new(uid.as_str(), pod)),
                Entry::PodDeleted(uid) => Fact::PodDeleted(uid.as_str().to_owned()),
                Entry::Reading(uid, taken, reading) => {
                    Fact::Reading(RecordedReading::new(uid.as_str(), *taken, reading))
                }
                Entry::Wrote { from, to } => Fact::Wrote {
                    from: *from,
                    to: *to,
                },
                Entry::WriteFailed(message) => Fact::WriteFailed(message.clone()),
                Entry::Scheduled(replicas) => Fact::Scheduled(*replicas),
                Entry::Spec(spec) => Fact::Spec(Box::new(PushScalerSpec::clone(spec))),
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
