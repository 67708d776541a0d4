//! What the control loop reports to Kubernetes.

use pushscale_api::PushScalerStatus;

use crate::names::ScalerKey;

/// A status or an event for the API server.
#[derive(Clone, Debug)]
pub enum Report {
    /// A scaler's new status.
    Status(StatusReport),
    /// An event of a scaler.
    Event(EventReport),
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
