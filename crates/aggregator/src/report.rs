//! What the control loop reports to Kubernetes.

use std::sync::Arc;

use jiff::Timestamp;
use kube::api::ObjectMeta;
use parking_lot::Mutex;
use pushscale_api::PushScalerStatus;
use pushscale_decision::Checkpoint;

use crate::names::{ScalerKey, TargetRef};

/// A status or an event for the API server.
#[derive(Clone, Debug)]
pub enum Report {
    /// A scaler's new status.
    Status(StatusReport),
    /// An event of a scaler.
    Event(EventReport),
    /// What a scaler has learned.
    Checkpoint(CheckpointReport),
}

/// A scaler's new status.
#[derive(Clone, Debug)]
pub struct StatusReport {
    /// The scaler.
    pub scaler: ScalerKey,
    /// Its uid.
    pub uid: String,
    /// The whole status.
    pub status: Box<PushScalerStatus>,
}

/// What a scaler has learned.
#[derive(Clone, Debug)]
pub struct CheckpointReport {
    /// The scaler.
    pub scaler: ScalerKey,
    /// Its uid.
    pub uid: String,
    /// Its target.
    pub target: TargetRef,
    /// The time of `checkpoint`.
    pub at: Timestamp,
    /// What was learned.
    pub checkpoint: Box<Checkpoint>,
    /// Whether the leader shuts down. The report is then written even if the Lease is released before, unless another
    /// leader has written in the meantime.
    pub is_last: bool,
    /// The stored checkpoint, as this aggregator has read or written it last.
    pub stored: StoredCheckpoint,
}

/// What is known about the stored checkpoint of a scaler. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct StoredCheckpoint(Arc<Mutex<Stored>>);

#[derive(Debug, Default)]
struct Stored {
    /// Its `metadata.uid` and `metadata.resourceVersion`; `None` if there is none.
    version: Option<(String, String)>,
    /// The time of the last checkpoint that this aggregator tried to write while it led.
    attempted: Option<Timestamp>,
}

impl StoredCheckpoint {
    /// Records that a checkpoint of this time is about to be written. The response may be lost.
    pub(crate) fn attempt(&self, at: Timestamp) {
        self.0.lock().attempted = Some(at);
    }

    /// Returns whether a checkpoint of this time is not newer than the last one that this aggregator tried to write.
    pub(crate) fn covers(&self, at: Timestamp) -> bool {
        self.0
            .lock()
            .attempted
            .is_some_and(|attempted| at <= attempted)
    }

    /// Records what a read found, or a write stored.
    pub(crate) fn record(&self, found: Option<&ObjectMeta>) {
        self.0.lock().version = found.and_then(|found| {
            let uid = found.uid.clone()?;
            Some((uid, found.resource_version.clone()?))
        });
    }

    /// Makes the write of an object fail if the stored one has changed. Returns whether there is a stored one.
    pub(crate) fn require_unchanged(&self, object: &mut ObjectMeta) -> bool {
        let stored = self.0.lock().version.clone();
        (object.uid, object.resource_version) = stored.unzip();
        object.uid.is_some()
    }
}

/// An event of a scaler.
#[derive(Clone, Debug)]
pub struct EventReport {
    /// The scaler.
    pub scaler: ScalerKey,
    /// Its uid.
    pub uid: String,
    /// Whether the event is a warning.
    pub warning: bool,
    /// The reason, in UpperCamelCase.
    pub reason: &'static str,
    /// The action, in UpperCamelCase. Kubernetes combines events with the same reason and action into a series.
    pub action: String,
    /// The message.
    pub note: String,
}
