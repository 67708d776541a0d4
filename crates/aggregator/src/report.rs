//! What the control loop reports to Kubernetes.

use pushscale_api::PushScalerStatus;

use crate::names::ScalerKey;

/// A status or an event for the API server.
#[derive(Clone, Debug)]
pub enum Report {
    /// A scaler's new status.
    Status {
        /// The scaler.
        scaler: ScalerKey,
        /// The whole status.
        status: Box<PushScalerStatus>,
    },
    /// An event of a scaler.
    Event {
        /// The scaler.
        scaler: ScalerKey,
        /// Its uid.
        uid: String,
        /// Whether the event is a warning.
        warning: bool,
        /// The reason, in UpperCamelCase.
        reason: &'static str,
        /// The action, in UpperCamelCase. Kubernetes combines events with the same reason and action into a series.
        action: String,
        /// The message.
        note: String,
    },
}
