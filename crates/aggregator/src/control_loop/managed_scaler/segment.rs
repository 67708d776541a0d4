//! A part of a recording: a snapshot of the scaler, and what followed.

use std::sync::Arc;

use pushscale_api::PushScalerSpec;
use pushscale_api::recording::{
    Expected, Fact, RecordedFact, RecordedPod, RecordedReading, RecordedStep, Recording, nanos,
};
use pushscale_decision::{
    Decision, MetricValue, ModelReading, Moment, Pod, PodUid, Reading, Scaler, Snapshot, Step,
    TargetState,
};

/// The recorded segments of a scaler, the oldest first.
#[derive(Debug)]
pub struct RecordedSegments(pub(super) Vec<Arc<Segment>>);

impl RecordedSegments {
    /// Converts the segments. Takes milliseconds.
    pub fn recordings(&self, name: &str) -> Vec<Recording> {
        self.0
            .iter()
            .filter_map(|segment| segment.recording(name))
            .collect()
    }
}

/// A snapshot, and the inputs and decisions since.
#[derive(Debug)]
pub(super) struct Segment {
    start: Moment,
    spec: Option<Arc<PushScalerSpec>>,
    memory: Snapshot,
    entries: Vec<(Moment, Entry)>,
    /// The bytes that the spec, the snapshot and the entries take.
    size: usize,
}

/// An input or a decision of the scaler. Converted to JSON on request.
#[derive(Debug)]
pub(super) enum Entry {
    Pod(PodUid, Pod),
    PodDeleted(PodUid),
    Reading(PodUid, Moment, Arc<Reading>),
    Wrote { from: u32, to: u32 },
    WriteFailed(String),
    Scheduled(Option<u32>),
    Spec(Arc<PushScalerSpec>),
    Decided(Box<(TargetState, Decision)>),
}

impl Entry {
    /// Returns its bytes in memory. Texts of an explanation are estimated; names that clients choose are counted.
    fn size(&self) -> usize {
        let own = match self {
            Self::Reading(_, _, reading) => {
                let names = reading.models.iter().map(|model| model.name.len());
                size_of::<Reading>()
                    + names.sum::<usize>()
                    + reading.models.len() * size_of::<ModelReading>()
            }
            Self::WriteFailed(message) => message.len(),
            Self::Decided(decided) => {
                let (target, decision) = &**decided;
                let messages = decision
                    .warnings
                    .iter()
                    .map(|warning| warning.message.len());
                size_of_val(target)
                    + size_of_val(decision)
                    + decision.steps.len() * size_of::<Step>()
                    + decision.metrics.len() * size_of::<MetricValue>()
                    + messages.sum::<usize>()
                    + CONDITION_MESSAGES
            }
            Self::Pod(_, pod) => pod.name.len(),
            Self::Spec(spec) => spec_size(spec),
            Self::PodDeleted(_) | Self::Wrote { .. } | Self::Scheduled(_) => 0,
        };
        size_of::<(Moment, Self)>() + own
    }
}

/// Returns the bytes of a spec, which users write. Its names and schedules can be long.
fn spec_size(spec: &PushScalerSpec) -> usize {
    serde_json::to_vec(spec).map_or(0, |json| json.len())
}

/// The messages of all conditions of a decision, in bytes.
const CONDITION_MESSAGES: usize = 512;

impl Segment {
    pub(super) fn begin(now: Moment, scaler: &Scaler, spec: Option<Arc<PushScalerSpec>>) -> Self {
        let memory = scaler.snapshot();
        let spec_size = spec.as_deref().map_or(0, spec_size);
        Self {
            start: now,
            spec,
            size: size_of::<Self>() + spec_size + memory.size(),
            memory,
            entries: Vec::new(),
        }
    }

    pub(super) fn push(&mut self, now: Moment, entry: Entry) {
        self.size += entry.size();
        self.entries.push((now, entry));
    }

    /// Releases the snapshot and the spec.
    pub(super) fn forget(&mut self) {
        self.spec = None;
        self.memory = Snapshot::default();
        self.size = size_of::<Self>();
    }

    pub(super) fn size(&self) -> usize {
        self.size
    }

    /// Returns the number of specs.
    #[cfg(test)]
    pub(super) fn specs(&self) -> usize {
        let entries = self.entries.iter();
        let edits = entries.filter(|(_, entry)| matches!(entry, Entry::Spec(_)));
        edits.count() + usize::from(self.spec.is_some())
    }

    pub(super) fn has_decisions(&self) -> bool {
        let mut entries = self.entries.iter();
        entries.any(|(_, entry)| matches!(entry, Entry::Decided(_)))
    }

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
                        expect: Some(Expected::from_decision(decision)),
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
            name: format!("{name} from {} s on", self.start.since_origin().as_secs()),
            release: env!("CARGO_PKG_VERSION").to_owned(),
            spec: PushScalerSpec::clone(self.spec.as_ref()?),
            memory: Some(self.memory.to_string()),
            steps,
        })
    }
}
