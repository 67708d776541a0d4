//! Why a switch, or its undo, stopped.

use thiserror::Error;

use super::adopted::AdoptError;
use crate::cluster::ClusterError;

/// Why a switch, or its undo, stopped. Repeating the command continues it.
#[derive(Debug, Error)]
pub enum SwitchError {
    /// The cluster could not be read.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// The PushScaler could not be computed.
    #[error(transparent)]
    Adopt(#[from] AdoptError),
    /// An object could not be parsed.
    #[error("an object of the API server could not be parsed: {0}")]
    Unreadable(String),
    /// The API server rejected a write, or could not be reached.
    #[error("failed to {step}; repeat the command to continue")]
    Write {
        /// The step.
        step: String,
        /// The error of the client.
        source: Box<kube::Error>,
    },
    /// The API server did not respond in time.
    #[error("failed to {step}: no response from the API server within 10 s; repeat the command")]
    TimedOut {
        /// The step.
        step: String,
    },
    /// What a step waits for did not happen.
    #[error("failed to {step} within 30 s: {hint}; then repeat the command to continue")]
    NotYet {
        /// The step.
        step: String,
        /// What to check.
        hint: &'static str,
    },
    /// The object changes faster than it can be read and deleted.
    #[error(
        "the HorizontalPodAutoscaler changed each time before it was deleted: repeat the command"
    )]
    Changing,
    /// There is no such autoscaler.
    #[error("{0} not found: check the name and the namespace (-n)")]
    NotFound(String),
    /// The PushScaler was created by this run.
    #[error(
        "PushScaler {scaler} was created and has no decision yet: repeat the command once pushscale status shows one"
    )]
    Created {
        /// The PushScaler.
        scaler: String,
    },
    /// The PushScaler has no decision.
    #[error(
        "PushScaler {scaler} is not ready to scale: {why}; pushscale doctor finds the cause, --force switches anyway"
    )]
    NotReady {
        /// The PushScaler.
        scaler: String,
        /// What is missing.
        why: String,
    },
    /// No aggregator would scale the PushScaler.
    #[error(
        "no aggregator is known to scale PushScaler {scaler}; pushscale doctor finds the cause, --force switches anyway"
    )]
    NoAggregator {
        /// The PushScaler.
        scaler: String,
        /// Why.
        source: ClusterError,
    },
    /// More than one PushScaler has the target.
    #[error("PushScalers {one} and {other} have the same target: delete one of them")]
    SeveralScalers {
        /// One.
        one: String,
        /// Another.
        other: String,
    },
    /// A third autoscaler has the target.
    #[error("HorizontalPodAutoscaler {hpa} also scales {target}: delete it first")]
    OtherHpa {
        /// Its name.
        hpa: String,
        /// The target.
        target: String,
    },
    /// Another HorizontalPodAutoscaler has the name of the stored one.
    #[error(
        "HorizontalPodAutoscaler {hpa} scales {found}, and PushScaler {scaler} stores one of the same name for {target}: give the existing one another name, and repeat the command"
    )]
    OtherTarget {
        /// Their name.
        hpa: String,
        /// The target of the existing one.
        found: String,
        /// The PushScaler.
        scaler: String,
        /// Its target.
        target: String,
    },
    /// The PushScaler would have the name of one with another target.
    #[error(
        "PushScaler {scaler} exists and scales {target}: create one with another name from the output of pushscale adopt without --switch, and repeat the command"
    )]
    NameTaken {
        /// The PushScaler.
        scaler: String,
        /// Its target.
        target: String,
    },
    /// The PushScaler exists, with another target latency.
    #[error(
        "PushScaler {scaler} exists, and its target latency is not {target}: change it with kubectl edit, or leave out --target"
    )]
    OtherLatency {
        /// The PushScaler.
        scaler: String,
        /// The target latency that the user wants.
        target: String,
    },
    /// A controller would create the HorizontalPodAutoscaler again.
    #[error(
        "{hpa} belongs to {owner}, which would create it again: if that is a ScaledObject, name it instead; otherwise turn off autoscaling in {owner}, and repeat the command"
    )]
    Owned {
        /// The HorizontalPodAutoscaler.
        hpa: String,
        /// Kind and name of the owner.
        owner: String,
    },
    /// KEDA itself sets the replicas.
    #[error(
        "{0} has the annotation autoscaling.keda.sh/paused-replicas, with which KEDA sets the replicas: remove it first"
    )]
    PausedReplicas(String),
    /// The PushScaler stores another object.
    #[error(
        "PushScaler {scaler} already replaces {from}: undo that switch first, or, if {from} was deleted for good, remove the annotation pushscale.dev/adopted-from of the PushScaler"
    )]
    AlreadyAdopted {
        /// The PushScaler.
        scaler: String,
        /// Kind and name of what it replaces.
        from: String,
    },
    /// The ScaledObject was deleted after the switch.
    #[error(
        "{object} does not exist any more, so it cannot be resumed: apply it again and repeat the command, or, to keep PushScaler {scaler}, remove its annotation pushscale.dev/adopted-from"
    )]
    NothingToResume {
        /// The ScaledObject.
        object: String,
        /// The PushScaler that replaced it.
        scaler: String,
    },
    /// There is nothing to undo.
    #[error(
        "{0} does not exist, and no PushScaler of the namespace stores it: check the name and the namespace (-n)"
    )]
    NothingStored(String),
}
