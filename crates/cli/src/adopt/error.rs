//! Why a switch, or its undo, stopped.

use thiserror::Error;

use super::adopted::AdoptError;
use crate::cluster::ClusterError;

/// Why a switch, or its undo, stopped. Repeating the command continues it.
#[derive(Debug, Error)]
#[expect(missing_docs, reason = "each variant's message describes it")]
pub enum SwitchError {
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    #[error(transparent)]
    Adopt(#[from] AdoptError),
    #[error("an object of the API server could not be parsed: {0}")]
    Unreadable(String),
    /// The API server rejected a write, or could not be reached.
    #[error("failed to {step}; repeat the command to continue")]
    Write {
        step: String,
        source: Box<kube::Error>,
    },
    #[error("failed to {step}: no response from the API server within 10 s; repeat the command")]
    TimedOut { step: String },
    #[error("failed to {step} within 30 s: {hint}; then repeat the command to continue")]
    NotYet {
        step: String,
        /// What to check.
        hint: &'static str,
    },
    /// The object changes faster than it can be read and deleted.
    #[error(
        "the HorizontalPodAutoscaler changed each time before it was deleted: repeat the command"
    )]
    Changing,
    #[error("{0} not found: check the name and the namespace (-n)")]
    NotFound(String),
    #[error(
        "PushScaler {scaler} was created and has no decision yet: repeat the command once pushscale status shows one"
    )]
    Created { scaler: String },
    #[error(
        "PushScaler {scaler} is not ready to scale: {why}; pushscale doctor finds the cause, --force switches anyway"
    )]
    NotReady { scaler: String, why: String },
    #[error(
        "no aggregator is known to scale PushScaler {scaler}; pushscale doctor finds the cause, --force switches anyway"
    )]
    NoAggregator {
        scaler: String,
        source: ClusterError,
    },
    #[error("PushScalers {one} and {other} have the same target: delete one of them")]
    SeveralScalers { one: String, other: String },
    #[error("HorizontalPodAutoscaler {hpa} also scales {target}: delete it first")]
    OtherHpa { hpa: String, target: String },
    #[error(
        "HorizontalPodAutoscaler {hpa} scales {found}, and PushScaler {scaler} stores one of the same name for {target}: give the existing one another name, and repeat the command"
    )]
    OtherTarget {
        hpa: String,
        found: String,
        scaler: String,
        target: String,
    },
    #[error(
        "PushScaler {scaler} exists and scales {target}: create one with another name from the output of pushscale adopt without --switch, and repeat the command"
    )]
    NameTaken { scaler: String, target: String },
    #[error(
        "PushScaler {scaler} exists, and its target latency is not {target}: change it with kubectl edit, or leave out --target"
    )]
    OtherLatency { scaler: String, target: String },
    #[error(
        "{hpa} belongs to {owner}, which would create it again: if that is a ScaledObject, name it instead; otherwise turn off autoscaling in {owner}, and repeat the command"
    )]
    Owned {
        hpa: String,
        /// Kind and name of the owner.
        owner: String,
    },
    #[error(
        "{0} has the annotation autoscaling.keda.sh/paused-replicas, with which KEDA sets the replicas: remove it first"
    )]
    PausedReplicas(String),
    #[error(
        "PushScaler {scaler} already replaces {from}: undo that switch first, or, if {from} was deleted for good, remove the annotation pushscale.dev/adopted-from of the PushScaler"
    )]
    AlreadyAdopted {
        scaler: String,
        /// Kind and name of what it replaces.
        from: String,
    },
    #[error(
        "{object} does not exist any more, so it cannot be resumed: apply it again and repeat the command, or, to keep PushScaler {scaler}, remove its annotation pushscale.dev/adopted-from"
    )]
    NothingToResume { object: String, scaler: String },
    #[error(
        "{0} does not exist, and no PushScaler of the namespace stores it: check the name and the namespace (-n)"
    )]
    NothingStored(String),
}
