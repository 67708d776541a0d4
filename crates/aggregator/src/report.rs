//! What the control loop wants told to Kubernetes.

use pushscale_api::PushScalerStatus;

use crate::names::ScalerKey;

/// One thing to tell. In the demo nobody listens.
#[derive(Clone, Debug)]
pub enum Report {
    /// The scaler's status is this now.
    Status {
        /// Whose.
        scaler: ScalerKey,
        /// The whole status.
        status: Box<PushScalerStatus>,
    },
    /// Something happened.
    Happened {
        /// To whom.
        scaler: ScalerKey,
        /// Its uid.
        uid: String,
        /// Is it a warning?
        warning: bool,
        /// In one word.
        reason: &'static str,
        /// What was tried, in one word; Kubernetes folds events of one reason and one action into a series.
        action: String,
        /// In a sentence.
        note: String,
    },
}
