//! Records the recent inputs of a scaler, so that its decisions can be replayed elsewhere.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use pushscale_api::PushScalerSpec;
use pushscale_decision::{
    Checkpoint, Clock, Conditions, Decision, FleetLoad, MeasuredLoad, Moment, Pod, PodUid, Policy,
    Reading, Rejection, Scaler, TargetState,
};

use super::segment::{Entry, RecordedSegments, Segment};

/// Initial capacity in bytes, until the control loop sets it.
const INITIAL_CAPACITY: usize = 1 << 20;

/// A recording consists of this many segments: the oldest one is dropped at a time.
const SEGMENTS: usize = 4;

/// A scaler whose state alone takes more than a segment is not recorded. Whether it still does is checked again after
/// this time, since taking a snapshot costs time.
const SUSPENSION: Duration = Duration::from_secs(60);

/// A scaler whose inputs are recorded.
pub(super) struct Recorder {
    scaler: Scaler,
    spec: Option<Arc<PushScalerSpec>>,
    scheduled: Option<u32>,
    /// The segment being written. Each segment begins with a snapshot of the scaler.
    current: Segment,
    /// The segments before, the oldest first.
    finished: VecDeque<Arc<Segment>>,
    /// Nothing is recorded before this time.
    suspended_until: Option<Moment>,
    /// Capacity of all segments together, in bytes.
    capacity: usize,
}

impl Recorder {
    pub(super) fn new(
        policy: Policy,
        spec: Option<Arc<PushScalerSpec>>,
        conditions: Conditions,
    ) -> Self {
        let scaler = Scaler::new(policy, conditions);
        let current = Segment::begin(Moment::ORIGIN, &scaler, spec.clone());
        Self {
            scaler,
            spec,
            scheduled: None,
            current,
            finished: VecDeque::new(),
            suspended_until: None,
            capacity: INITIAL_CAPACITY,
        }
    }

    /// Sets the capacity of the recording, in bytes.
    pub(super) fn set_capacity(&mut self, capacity: usize) {
        self.capacity = capacity;
    }

    pub(super) fn load(&self, now: Moment) -> FleetLoad {
        self.scaler.load(now)
    }

    pub(super) fn measured_load(&self, seconds: Range<u64>) -> MeasuredLoad {
        self.scaler.measured_load(seconds)
    }

    pub(super) fn start_delay(&self) -> Option<Duration> {
        self.scaler.start_delay()
    }

    pub(super) fn start_replicas(&self) -> u32 {
        self.scaler.start_replicas()
    }

    pub(super) fn conditions(&self) -> &Conditions {
        self.scaler.conditions()
    }

    pub(super) fn is_slow(&self, uid: &PodUid) -> bool {
        self.scaler.is_slow(uid)
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
            self.record(now, || Entry::Spec(spec));
        }
    }

    pub(super) fn set_scheduled_floor(&mut self, now: Moment, replicas: Option<u32>) {
        if self.scheduled == replicas {
            return;
        }
        self.scheduled = replicas;
        self.scaler.set_scheduled_floor(replicas);
        self.record(now, || Entry::Scheduled(replicas));
    }

    pub(super) fn apply_pod(&mut self, now: Moment, uid: PodUid, pod: Pod) {
        self.scaler.apply_pod(now, uid.clone(), pod.clone());
        self.record(now, || Entry::Pod(uid, pod));
    }

    pub(super) fn remove_pod(&mut self, now: Moment, uid: &PodUid) {
        self.scaler.remove_pod(uid);
        self.record(now, || Entry::PodDeleted(uid.clone()));
    }

    /// Rejected readings change nothing, so they are not recorded.
    pub(super) fn learn(
        &mut self,
        now: Moment,
        uid: &PodUid,
        taken: Moment,
        reading: &Arc<Reading>,
    ) -> Result<(), Rejection> {
        self.scaler.learn_shared(now, uid, taken, reading)?;
        self.record(now, || {
            Entry::Reading(uid.clone(), taken, Arc::clone(reading))
        });
        Ok(())
    }

    pub(super) fn checkpoint(&self, clock: Clock) -> Checkpoint {
        self.scaler.checkpoint(clock)
    }

    /// Restores what was learned. The recording continues with a snapshot that contains it.
    pub(super) fn restore_checkpoint(&mut self, clock: Clock, checkpoint: &Checkpoint) {
        self.scaler.restore_checkpoint(clock, checkpoint);
        self.finish_segment(clock.now);
    }

    pub(super) fn record_scale(&mut self, now: Moment, from: u32, to: u32) {
        self.scaler.record_scale(now, from, to);
        self.record(now, || Entry::Wrote { from, to });
    }

    pub(super) fn record_scale_failure(&mut self, now: Moment, message: &str) {
        self.scaler.record_scale_failure(message);
        self.record(now, || Entry::WriteFailed(message.to_owned()));
    }

    pub(super) fn decide(&mut self, now: Moment, target: &TargetState) -> Decision {
        if self.suspended_until.is_some_and(|until| until <= now) {
            self.begin_segment(now);
        }
        let decision = self.scaler.decide(now, target).clone();
        self.record(now, || {
            Entry::Decided(Box::new((target.clone(), decision.clone())))
        });
        // A segment ends after a decision, so that every decision is in one segment with the facts before it.
        if self.current.size() >= self.segment_capacity() {
            self.finish_segment(now);
        }
        decision
    }

    /// Returns the recorded segments. They are rendered elsewhere, because that takes longer than a turn may.
    pub(super) fn recordings(&mut self, now: Moment) -> RecordedSegments {
        self.finish_segment(now);
        RecordedSegments(self.finished.iter().cloned().collect())
    }

    fn segment_capacity(&self) -> usize {
        self.capacity / SEGMENTS
    }

    fn record(&mut self, now: Moment, entry: impl FnOnce() -> Entry) {
        if self.suspended_until.is_some() {
            return;
        }
        self.current.push(now, entry());
        if self.current.size() >= 2 * self.segment_capacity() {
            // Facts without a decision cannot be replayed, so they are dropped.
            self.begin_segment(now);
        }
    }

    fn finish_segment(&mut self, now: Moment) {
        let segment = self.begin_segment(now);
        if segment.has_decisions() {
            self.finished.push_back(Arc::new(segment));
        }
        let mut size: usize = self.finished.iter().map(|segment| segment.size()).sum();
        while size > (SEGMENTS - 1) * self.segment_capacity() {
            let Some(oldest) = self.finished.pop_front() else {
                break;
            };
            size -= oldest.size();
        }
    }

    /// Begins a new segment and returns the one before.
    fn begin_segment(&mut self, now: Moment) -> Segment {
        let mut next = Segment::begin(now, &self.scaler, self.spec.clone());
        self.suspended_until = (next.size() >= self.segment_capacity()).then(|| {
            next.forget();
            now.plus(SUSPENSION)
        });
        std::mem::replace(&mut self.current, next)
    }
}

#[cfg(test)]
mod tests {
    use pushscale_decision::{Bounds, Latency, ModelReading, Selector, ServerState, TargetLatency};

    use super::*;

    /// The largest reading that the push protocol allows: 256 models with names of 253 bytes.
    fn largest_reading(sequence: u64) -> Reading {
        let models = (0..256).map(|index| ModelReading {
            name: format!("{index:0253}"),
            queue_latency: Some(Latency::ZERO),
            ..ModelReading::default()
        });
        Reading {
            source: 1,
            sequence,
            clock: Duration::from_millis(50 * sequence),
            fresh_for: Duration::from_secs(3),
            terminating: false,
            server: ServerState::Ready,
            models: models.collect(),
        }
    }

    fn policy() -> Policy {
        let target = TargetLatency::new(Latency::from_nanos(1_000_000_000)).unwrap();
        Policy::new(Bounds::new(1, 9).unwrap(), target)
    }

    fn recorder(spec: Option<Arc<PushScalerSpec>>) -> Recorder {
        Recorder::new(policy(), spec, Conditions::default())
    }

    fn spec(target: &str) -> Arc<PushScalerSpec> {
        let spec = serde_json::json!({
            "scaleTargetRef": { "apiVersion": "apps/v1", "kind": "Deployment", "name": target },
            "maxReplicas": 9,
            "metrics": [{ "type": "QueueLatency", "queueLatency": { "target": "1s" } }],
        });
        Arc::new(serde_json::from_value(spec).unwrap())
    }

    fn known() -> TargetState {
        TargetState::Known {
            replicas: 1,
            existing: None,
            selector: Selector::Usable,
            deletes_slow_first: true,
        }
    }

    fn size(recorder: &Recorder) -> usize {
        let finished = recorder.finished.iter().map(|segment| segment.size());
        finished.sum::<usize>() + recorder.current.size()
    }

    #[test]
    fn the_largest_readings_do_not_exceed_the_capacity() {
        let uid = PodUid::from("a");
        for decides in [true, false] {
            let mut recorder = recorder(None);
            recorder.set_capacity(4 << 20);
            recorder.apply_pod(Moment::ORIGIN, uid.clone(), Pod::running("a"));
            for sequence in 1..500 {
                let now = Moment::at(Duration::from_millis(50 * sequence));
                let reading = largest_reading(sequence);
                recorder.learn(now, &uid, now, &reading.into()).unwrap();
                if decides {
                    recorder.decide(now, &known());
                }
                let size = size(&recorder);
                assert!(size <= 5 << 20, "{size} bytes after {sequence} readings");
            }
        }
    }

    #[test]
    fn the_scalers_of_a_pod_and_their_recordings_share_its_readings() {
        let uid = PodUid::from("a");
        let mut recorders: Vec<_> = (0..3).map(|_| recorder(None)).collect();
        for sequence in 1..10 {
            let now = Moment::at(Duration::from_millis(50 * sequence));
            let reading = Arc::new(largest_reading(sequence));
            for recorder in &mut recorders {
                recorder.set_capacity(32 << 20);
                recorder.apply_pod(Moment::ORIGIN, uid.clone(), Pod::running("a"));
                recorder.learn(now, &uid, now, &reading).unwrap();
            }
            assert_eq!(Arc::strong_count(&reading), 1 + 3 + 3);
        }
    }

    #[test]
    fn large_specs_do_not_exceed_the_capacity() {
        const SPEC: usize = 200_000;
        for decides in [true, false] {
            let mut recorder = recorder(Some(spec("torchserve")));
            recorder.set_capacity(4 << 20);
            for second in 1..200 {
                let now = Moment::from_secs(second);
                recorder.set_policy(now, policy(), Some(spec(&"a".repeat(SPEC))));
                if decides {
                    recorder.decide(now, &known());
                }
                // A segment has the spec of its begin, and those that followed.
                let segments = recorder.finished.iter().map(|segment| segment.specs());
                let specs = segments.sum::<usize>() + recorder.current.specs();
                assert!(
                    specs * SPEC <= 5 << 20,
                    "{specs} specs after {second} edits"
                );
            }
            assert_eq!(recorder.finished.is_empty(), !decides);
        }
    }

    #[test]
    fn a_scaler_with_a_large_state_is_not_recorded_until_its_share_suffices() {
        let mut recorder = recorder(Some(spec("torchserve")));
        recorder.set_capacity(1);
        for second in 0..50 {
            recorder.decide(Moment::from_secs(second), &known());
        }
        let now = Moment::from_secs(50);
        assert_eq!(recorder.recordings(now).recordings("a").len(), 0);
        assert!(size(&recorder) < 2048, "{}", size(&recorder));
        recorder.set_capacity(INITIAL_CAPACITY);
        for second in 51..200 {
            recorder.decide(Moment::from_secs(second), &known());
        }
        let recordings = recorder.recordings(Moment::from_secs(200)).recordings("a");
        let steps: usize = recordings
            .iter()
            .map(|recording| recording.steps.len())
            .sum();
        assert!(steps > 50, "{steps}");
    }
}
