//! What the control loop reports to Kubernetes.

use jiff::Timestamp;
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
    /// Whether the leader shuts down. The report is then written even if the Lease is released before.
    pub is_last: bool,
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
