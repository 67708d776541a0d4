//! What a scaler was told.

use std::time::Duration;

use pushscale_decision::{Moment, Phase, Pod};
use serde::{Deserialize, Serialize};

use super::readings::RecordedReading;
use crate::pushscaler::PushScalerSpec;

/// Something that a scaler was told, and when.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RecordedFact {
    /// When.
    pub at_nanos: u64,
    /// What.
    pub fact: Fact,
}

/// What a scaler was told.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Fact {
    /// Kubernetes says this of a pod.
    Pod(RecordedPod),
    /// The pod of this uid is gone.
    Gone(String),
    /// A reading came in.
    Reading(RecordedReading),
    /// The size was written.
    #[serde(rename_all = "camelCase")]
    Wrote {
        /// From this one.
        from: u32,
        /// To this one.
        to: u32,
    },
    /// The size could not be written.
    WriteFailed(String),
    /// A schedule asks for at least so many replicas, or for none.
    Scheduled(Option<u32>),
    /// The spec is this from now on.
    Spec(Box<PushScalerSpec>),
}

/// A pod as Kubernetes tells of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RecordedPod {
    /// `metadata.uid`.
    pub uid: String,
    /// `metadata.name`.
    pub name: String,
    /// `status.phase`.
    pub phase: RecordedPhase,
    /// The Ready condition is True.
    pub ready: bool,
    /// `metadata.deletionTimestamp` is set.
    pub deleting: bool,
}

/// `status.phase`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "Kubernetes' words")]
pub enum RecordedPhase {
    Pending,
    Running,
    Succeeded,
    Failed,
    Unknown,
}

impl RecordedPod {
    /// What was told of the pod `uid`.
    pub fn new(uid: &str, pod: &Pod) -> Self {
        Self {
            uid: uid.to_owned(),
            name: pod.name.to_string(),
            phase: match pod.phase {
                Phase::Pending => RecordedPhase::Pending,
                Phase::Running => RecordedPhase::Running,
                Phase::Succeeded => RecordedPhase::Succeeded,
                Phase::Failed => RecordedPhase::Failed,
                Phase::Unknown => RecordedPhase::Unknown,
            },
            ready: pod.ready,
            deleting: pod.terminating,
        }
    }

    /// The pod again.
    pub fn pod(&self) -> Pod {
        Pod {
            name: self.name.as_str().into(),
            phase: match self.phase {
                RecordedPhase::Pending => Phase::Pending,
                RecordedPhase::Running => Phase::Running,
                RecordedPhase::Succeeded => Phase::Succeeded,
                RecordedPhase::Failed => Phase::Failed,
                RecordedPhase::Unknown => Phase::Unknown,
            },
            ready: self.ready,
            terminating: self.deleting,
        }
    }
}

/// A moment in whole nanoseconds; what is beyond 584 years is the last one.
pub(super) fn nanos(moment: Moment) -> u64 {
    span_nanos(moment.since_origin())
}

pub(super) fn span_nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

impl RecordedFact {
    /// What was told at `at`.
    pub fn new(at: Moment, fact: Fact) -> Self {
        Self {
            at_nanos: nanos(at),
            fact,
        }
    }

    /// When.
    pub fn at(&self) -> Moment {
        Moment::at(Duration::from_nanos(self.at_nanos))
    }
}
