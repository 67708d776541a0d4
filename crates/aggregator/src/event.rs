//! The events that wake the control loop.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use pushscale_api::{PushScalerSpec, ScaleChange, Schedules, SpecProblem};
use pushscale_daemon::fair_semaphore::FairPermit;
use pushscale_decision::{
    Checkpoint, Conditions, Moment, Pod, PodUid, Policy, Reading, Rejection, Selector,
};
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::auth::PodIdentity;
use crate::control_loop::RecordedSegments;
use crate::names::{ScalerKey, TargetRef};
use crate::scale_target::{CostOwner, PodRef, Scale, ScaleError, Written};
use crate::view::ScalerView;

/// An event that wakes the control loop. Apart from these, only the time that a decision asked for wakes it.
#[derive(Debug)]
pub enum Event {
    /// A sidecar pushed a reading.
    Pushed(Box<Pushed>),
    /// A PushScaler was created or changed.
    ScalerApplied(Arc<ScalerFacts>),
    /// A PushScaler was deleted.
    ScalerDeleted(ScalerKey),
    /// The complete list of PushScalers; all others were deleted.
    ScalersListed(BTreeSet<ScalerKey>),
    /// A HorizontalPodAutoscaler was created or changed.
    HpaApplied(Arc<CompetingHpa>),
    /// A HorizontalPodAutoscaler was deleted.
    HpaDeleted(ScalerKey),
    /// The complete list of HorizontalPodAutoscalers; all others were deleted.
    HpasListed(BTreeSet<ScalerKey>),
    /// A target's scale was read, or the read failed.
    TargetRead {
        /// The watch of the target.
        watch: WatchId,
        /// When the read began. The scale may have changed since.
        start: Instant,
        /// Whether an aggregator wrote the replicas last.
        written_by_us: bool,
        /// The scale.
        scale: Result<Scale, ScaleError>,
    },
    /// All PushScalers were read for a new leader, because what the watch has delivered may be older than the previous
    /// leader's last status.
    StatusesRead {
        /// When the read began.
        start: Instant,
        /// The statuses.
        statuses: BTreeMap<ScalerKey, StoredStatus>,
    },
    /// A pod under a target's selector was created or changed.
    PodApplied {
        /// The watch of the target.
        watch: WatchId,
        /// The pod's uid.
        uid: PodUid,
        /// The pod's state.
        pod: Pod,
        /// Input to the deletion order.
        deletion: DeletionFacts,
    },
    /// A pod was deleted.
    PodDeleted {
        /// The watch of the target.
        watch: WatchId,
        /// The pod's uid.
        uid: PodUid,
    },
    /// The complete list of pods under a target's selector; all others were deleted.
    PodsListed {
        /// The watch of the target.
        watch: WatchId,
        /// The pods' uids.
        uids: BTreeSet<PodUid>,
    },
    /// The pods of a target are unknown: its selector is invalid, or they cannot be listed.
    PodsUnknown {
        /// The watch of the target.
        watch: WatchId,
        /// Why, never [`Selector::Usable`].
        why: Selector,
    },
    /// This aggregator became the leader. The loop asks for the term itself; this wakes it.
    Promoted,
    /// A write of a replica count ended.
    WriteFinished {
        /// The watch of the target when the write began. The scaler may have another target since.
        watch: WatchId,
        /// The target.
        target: TargetRef,
        /// The replica count before.
        from: u32,
        /// The replica count that was requested.
        to: u32,
        /// The pods that were marked to be deleted first.
        marked: Vec<PodRef>,
        /// When the newest reading behind the decision was taken.
        newest_reading: Option<Moment>,
        /// Whether the API server forbade marking pods; `None` if that is unknown, as when none was to be marked.
        marks_forbidden: Option<bool>,
        /// The outcome.
        outcome: Result<Written, ScaleError>,
    },
    /// A change of a PushScaler's finalizer ended.
    FinalizerChanged {
        /// The watch of the target when the change began.
        watch: WatchId,
        /// The PushScaler's `metadata.uid`.
        uid: String,
        /// What was written back before the change.
        restore: Restore,
        /// The resource version that the change replaced, or why it failed.
        outcome: Result<String, ScaleError>,
    },
    /// A checkpoint was read, or the read failed.
    CheckpointRead {
        /// The watch of the target when the read began.
        watch: WatchId,
        /// What was learned before; `None` if nothing can be restored.
        outcome: Result<Option<Box<Checkpoint>>, ScaleError>,
    },
    /// A page needs the names of all scalers.
    NamesRequested(oneshot::Sender<Vec<ScalerKey>>),
    /// A page needs the state of one scaler.
    ViewRequested {
        /// The scaler.
        scaler: ScalerKey,
        /// Gets `None` if the scaler does not exist.
        reply: oneshot::Sender<Option<ScalerView>>,
    },
    /// A page needs a scaler's recorded decisions.
    RecordingsRequested {
        /// The scaler.
        scaler: ScalerKey,
        /// Gets `None` if the scaler does not exist.
        reply: oneshot::Sender<Option<RecordedSegments>>,
    },
}

/// A pushed reading and the channel for the loop's verdict.
#[derive(Debug)]
pub struct Pushed {
    /// The pod.
    pub pod: Arc<PodIdentity>,
    /// When the head of the push was received.
    pub received: Instant,
    /// The reading.
    pub reading: ReceivedReading,
    /// Gets the verdict.
    pub reply: oneshot::Sender<Verdict>,
    /// The push's share of the memory for pushes, returned when the control loop has handled it; `None` in tests.
    pub reservation: Option<FairPermit>,
}

/// A reading with its age, from which the control loop computes when it was taken by its own clock.
#[derive(Debug)]
pub struct ReceivedReading {
    /// The reading's age when it was sent, as the sidecar reports it.
    pub age: Duration,
    /// The reading.
    pub reading: Reading,
}

/// What the control loop did with a pushed reading.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// At least one scaler learned from it.
    Accepted {
        /// The time since the pod's last accepted reading; `None` for the first.
        after: Option<Duration>,
    },
    /// No target selects a pod with this uid.
    UnknownPod,
    /// The uid belongs to another pod.
    PodMismatch {
        /// Namespace and name of that pod.
        pod: String,
    },
    /// The pod pushes too often.
    RateLimited,
    /// The reading itself was rejected.
    Rejected(Rejection),
}

/// The replica count that is written back before a PushScaler is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restore {
    /// It is not due, or was not written.
    NotDue,
    /// The target is gone, is scaled to zero, or has the replica count.
    NothingToRestore,
    /// It was written.
    Written(u32),
}

/// A PushScaler as the control loop needs it.
#[derive(Clone, Debug)]
pub struct ScalerFacts {
    /// Namespace and name.
    pub key: ScalerKey,
    /// `metadata.uid`, for events.
    pub uid: String,
    /// `metadata.generation`.
    pub generation: Option<i64>,
    /// `metadata.labels`, which select the scaler's external metrics.
    pub labels: BTreeMap<String, String>,
    /// The scaled object.
    pub target: TargetRef,
    /// The watch that reports the target and its pods. The loop ignores events of earlier watches.
    pub watch: WatchId,
    /// The parsed spec, or the problems in it.
    pub policy: Result<Policy, Vec<SpecProblem>>,
    /// The spec, for recordings.
    pub spec: Option<Arc<PushScalerSpec>>,
    /// The scheduled floors; empty if the spec has problems.
    pub schedules: Schedules,
    /// The conditions in the status, which survive a restart.
    pub conditions: Conditions,
    /// When the target's replica count was last written, from the status.
    pub last_scale_time: Option<Timestamp>,
    /// The conditions' types, whether they hold, and since when, from the status.
    pub transitions: Vec<(String, bool, Timestamp)>,
    /// The last changes of the replica count, newest first, from the status.
    pub changes: Vec<ScaleChange>,
    /// What the PushScaler's deletion depends on.
    pub deletion: ScalerDeletion,
}

impl ScalerFacts {
    /// Returns a new PushScaler with this policy, without labels, schedules and a status.
    pub fn new(watch: WatchId, target: TargetRef, policy: Policy) -> Self {
        Self {
            key: watch.scaler.clone(),
            uid: String::new(),
            generation: Some(1),
            labels: BTreeMap::new(),
            target,
            watch,
            policy: Ok(policy),
            spec: None,
            schedules: Schedules::default(),
            conditions: Conditions::default(),
            last_scale_time: None,
            transitions: Vec::new(),
            changes: Vec::new(),
            deletion: ScalerDeletion::default(),
        }
    }
}

/// The parts of a PushScaler's status that the next leader continues.
#[derive(Clone, Debug)]
pub struct StoredStatus {
    /// The PushScaler's `metadata.uid`.
    pub uid: String,
    /// Its target.
    pub target: TargetRef,
    /// `status.lastScaleTime`.
    pub last_scale_time: Option<Timestamp>,
    /// The conditions' types, whether they hold, and since when.
    pub transitions: Vec<(String, bool, Timestamp)>,
    /// `status.history`, newest first.
    pub changes: Vec<ScaleChange>,
    /// `status.replicasBefore`.
    pub replicas_before: Option<i32>,
}

/// What the deletion of a PushScaler depends on, as the API server has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScalerDeletion {
    /// Whether `spec.onDelete` is Restore, even if the rest of the spec is invalid.
    pub restores: bool,
    /// Whether `spec.mode` is Apply.
    pub applies: bool,
    /// Whether the PushScaler is being deleted.
    pub deleting: bool,
    /// `metadata.finalizers`.
    pub finalizers: Vec<String>,
    /// `metadata.resourceVersion`.
    pub resource_version: String,
    /// `status.replicasBefore`, if the status is of this target. It may be from before mode Recommend or Off.
    pub replicas_before: Option<i32>,
}

/// What determines a pod's place in the deletion order. Decisions on the replica count do not use it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeletionFacts {
    /// `metadata.creationTimestamp`.
    pub created: Option<Timestamp>,
    /// Whether the pod's controller honours the deletion cost: a ReplicaSet does, a StatefulSet does not.
    pub honours_cost: bool,
    /// The owner of the deletion cost annotation.
    pub cost_owner: CostOwner,
}

/// Identifies one watch of one target.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WatchId {
    /// The scaler.
    pub scaler: ScalerKey,
    /// Distinguishes successive watches of one scaler.
    pub number: u64,
}

/// A HorizontalPodAutoscaler and its target.
#[derive(Debug)]
pub struct CompetingHpa {
    /// Namespace and name.
    pub key: ScalerKey,
    /// The object that it scales.
    pub target: TargetRef,
}
