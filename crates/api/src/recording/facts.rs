//! The inputs of a scaler.

use std::time::Duration;

use pushscale_decision::{Moment, Phase, Pod};
use serde::{Deserialize, Serialize};

use super::readings::RecordedReading;
use super::time::nanos;
use crate::pushscaler::PushScalerSpec;

/// An input of a scaler, with its time.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RecordedFact {
    /// The time in nanoseconds since the recording's origin.
    pub at_nanos: u64,
    /// The input.
    pub fact: Fact,
}

/// An input of a scaler.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Fact {
    /// The state of a pod in Kubernetes.
    Pod(RecordedPod),
    /// The pod with this uid was deleted.
    PodDeleted(String),
    /// A reading was received.
    Reading(RecordedReading),
    /// The replica count was written.
    #[serde(rename_all = "camelCase")]
    Wrote {
        /// The previous replica count.
        from: u32,
        /// The new replica count.
        to: u32,
    },
    /// The replica count could not be written.
    WriteFailed(String),
    /// The minimum of the schedules, if any applies.
    Scheduled(Option<u32>),
    /// The spec changed.
    Spec(Box<PushScalerSpec>),
}

/// The state of a pod in Kubernetes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RecordedPod {
    /// `metadata.uid`.
    pub uid: String,
    /// `metadata.name`.
    pub name: String,
    /// `status.phase`.
    #[serde(with = "RecordedPhase")]
    pub phase: Phase,
    /// Whether the Ready condition is True.
    pub ready: bool,
    /// Whether `metadata.deletionTimestamp` is set.
    pub terminating: bool,
}

/// How a [`Phase`] is recorded, for serde's attribute `with`.
#[derive(Serialize, Deserialize)]
#[serde(remote = "Phase")]
#[expect(missing_docs, reason = "the phases of Kubernetes")]
pub enum RecordedPhase {
    Pending,
    Running,
    Succeeded,
    Failed,
    Unknown,
}

impl RecordedPod {
    /// Records the pod `uid`.
    pub fn new(uid: &str, pod: &Pod) -> Self {
        Self {
            uid: uid.to_owned(),
            name: pod.name.to_string(),
            phase: pod.phase,
            ready: pod.ready,
            terminating: pod.terminating,
        }
    }

    /// Returns the recorded pod.
    pub fn pod(&self) -> Pod {
        Pod {
            name: self.name.as_str().into(),
            phase: self.phase,
            ready: self.ready,
            terminating: self.terminating,
        }
    }
}

impl RecordedFact {
    /// Records an input at `at`.
    pub fn new(at: Moment, fact: Fact) -> Self {
        Self {
            at_nanos: nanos(at),
            fact,
        }
    }

    /// Returns the time of the input.
    pub fn at(&self) -> Moment {
        Moment::at(Duration::from_nanos(self.at_nanos))
    }
}
