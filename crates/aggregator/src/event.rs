//! Everything that can wake the control loop.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;
use pushscale_api::recording::Recording;
use pushscale_api::{PushScalerSpec, Schedules, SpecProblem};
use pushscale_decision::{Conditions, Pod, PodUid, Policy, Reading, Rejection};
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::names::{ScalerKey, TargetRef};
use crate::scale_target::{Cost, Scale, ScaleError, Written};
use crate::view::ScalerView;

/// Everything that can wake the control loop; nothing else does but the time that a decision asked for.
#[derive(Debug)]
pub enum Event {
    /// A sidecar pushed a reading.
    Pushed(Box<Pushed>),
    /// A PushScaler is new or has changed.
    ScalerApplied(Box<ScalerFacts>),
    /// A PushScaler is gone.
    ScalerGone(ScalerKey),
    /// These are all PushScalers there are: any other is gone.
    ScalersListed(BTreeSet<ScalerKey>),
    /// A HorizontalPodAutoscaler is new or has changed.
    RivalApplied(Rival),
    /// A HorizontalPodAutoscaler is gone.
    RivalGone(ScalerKey),
    /// These are all HorizontalPodAutoscalers there are.
    RivalsListed(BTreeSet<ScalerKey>),
    /// A target's size was read, or cannot be.
    TargetRead {
        /// Whose target.
        watch: WatchId,
        /// The size.
        scale: Result<Scale, ScaleError>,
    },
    /// A pod under a target's selector is new or has changed.
    PodApplied {
        /// Whose target.
        watch: WatchId,
        /// Which pod.
        uid: PodUid,
        /// What Kubernetes says of it.
        pod: Pod,
        /// What decides whether it goes first.
        standing: Standing,
    },
    /// A pod is gone.
    PodGone {
        /// Whose target.
        watch: WatchId,
        /// Which pod.
        uid: PodUid,
    },
    /// These are all pods there are under the selector.
    PodsListed {
        /// Whose target.
        watch: WatchId,
        /// Their uids.
        uids: BTreeSet<PodUid>,
    },
    /// The selector's pods cannot be listed.
    PodsUnlistable {
        /// Whose target.
        watch: WatchId,
        /// What the API server said.
        message: String,
    },
    /// A write of a size has ended.
    Wrote {
        /// Whose target.
        scaler: ScalerKey,
        /// From this size.
        from: u32,
        /// To this one.
        to: u32,
        /// How it ended.
        outcome: Result<Written, ScaleError>,
    },
    /// Somebody looks at a page.
    Asked(oneshot::Sender<Vec<ScalerView>>),
    /// Somebody wants a scaler's last decisions with all that led to them; `None`: there is no such scaler.
    AskedForDecisions {
        /// Which one.
        scaler: ScalerKey,
        /// Where to say them.
        answer: oneshot::Sender<Option<Vec<Recording>>>,
    },
}

/// A reading, and where to say what became of it.
#[derive(Debug)]
pub struct Pushed {
    /// `metadata.namespace` of the pod.
    pub namespace: String,
    /// `metadata.name` of the pod.
    pub name: String,
    /// `metadata.uid` of the pod.
    pub uid: PodUid,
    /// When it was received.
    pub received: Instant,
    /// How long before that it was taken, and the reading with the moment left open.
    pub reading: Untimed,
    /// What became of it.
    pub verdict: oneshot::Sender<Verdict>,
}

/// A reading whose moment the loop fills in by its own clock.
#[derive(Debug)]
pub struct Untimed {
    /// How long before it was received it was taken, as the sidecar says.
    pub age: std::time::Duration,
    /// The reading; its `taken` means nothing yet.
    pub reading: Reading,
}

/// What became of a reading.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// At least one scaler took it.
    Taken,
    /// No PushScaler's target selects a pod of this uid.
    UnknownPod,
    /// The uid is another pod's.
    OtherPod {
        /// That pod's name.
        name: String,
    },
    /// The pod pushes faster than anything could use.
    TooSoon,
    /// Refused for what it says.
    Refused(Rejection),
}

/// What the loop must know of a PushScaler.
#[derive(Debug)]
pub struct ScalerFacts {
    /// Its name.
    pub key: ScalerKey,
    /// `metadata.uid`, for events.
    pub uid: String,
    /// `metadata.generation`.
    pub generation: Option<i64>,
    /// The object whose size it writes.
    pub target: TargetRef,
    /// Which watch reports that target and its pods: reports of an earlier one are old news.
    pub watch: WatchId,
    /// What it asks for, or what is wrong with it.
    pub policy: Result<Policy, Vec<SpecProblem>>,
    /// The spec itself, to be recorded beside what is decided by it.
    pub spec: Option<Arc<PushScalerSpec>>,
    /// Its lower limits by the clock; none where something is wrong with them.
    pub schedules: Schedules,
    /// Of its status, which survives a restart: the conditions …
    pub conditions: Conditions,
    /// … and when its target's size was last written.
    pub last_scale_time: Option<Timestamp>,
    /// … with the times at which conditions last changed.
    pub transitions: Vec<(String, bool, Timestamp)>,
}

/// What decides which pods go first when the size shrinks. No decision on the size looks at it.
#[derive(Clone, Debug, Default)]
pub struct Standing {
    /// `metadata.creationTimestamp`.
    pub created: Option<Timestamp>,
    /// Its controller asks which pods are to go: a ReplicaSet does, a StatefulSet does not.
    pub asked_for: bool,
    /// Who has said something about it.
    pub cost: Cost,
}

/// One watch over one target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchId {
    /// Whose target.
    pub scaler: ScalerKey,
    /// Which of the watches that there have been for it.
    pub number: u64,
}

/// A HorizontalPodAutoscaler and what it scales.
#[derive(Debug)]
pub struct Rival {
    /// Its name.
    pub key: ScalerKey,
    /// What it scales.
    pub target: TargetRef,
}
