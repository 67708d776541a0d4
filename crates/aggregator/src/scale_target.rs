//! The scalable object whose replica count the control loop writes.

use std::time::Duration;

use futures_util::future::BoxFuture;
use pushscale_api::PushScalerCheckpoint;
use pushscale_daemon::backoff::Backoff;
use pushscale_decision::PodUid;
use thiserror::Error;

use crate::names::{ScalerKey, TargetRef};

/// The backoff after failed reads and writes of a scale. The HPA tries again at its next sync, after 15 s.
pub(crate) const SCALE_BACKOFF: Backoff =
    Backoff::new(Duration::from_millis(500), Duration::from_secs(15));

/// Writes replica counts: in a cluster through `/scale`, in the demo by starting and stopping processes.
pub trait ScaleTarget: Send + Sync + 'static {
    /// Reads the scale.
    fn read<'a>(&'a self, target: &'a TargetRef) -> BoxFuture<'a, Result<Scale, ScaleError>>;

    /// Sets the replica count to `to` if it is still `from`, and the target still the one with this uid. `None`: any.
    fn write<'a>(
        &'a self,
        target: &'a TargetRef,
        uid: Option<&'a str>,
        from: u32,
        to: u32,
    ) -> BoxFuture<'a, Result<Written, ScaleError>>;

    /// Returns whether [`mark_for_deletion`](Self::mark_for_deletion) marks pods.
    fn marks_pods(&self) -> bool {
        false
    }

    /// Marks these pods to be deleted first at the next scale-down. Called before the lower replica count is written.
    fn mark_for_deletion<'a>(
        &'a self,
        target: &'a TargetRef,
        pods: &'a [PodRef],
    ) -> BoxFuture<'a, MarkResult> {
        let _ = (target, pods);
        Box::pin(std::future::ready(MarkResult::default()))
    }

    /// Sets the finalizers of a PushScaler, if its resource version is still `resource_version`. Otherwise nothing
    /// happens, and the watch delivers the newer version.
    fn set_finalizers<'a>(
        &'a self,
        scaler: &'a ScalerKey,
        resource_version: &'a str,
        finalizers: &'a [String],
    ) -> BoxFuture<'a, Result<(), ScaleError>> {
        let _ = (scaler, resource_version, finalizers);
        Box::pin(std::future::ready(Ok(())))
    }

    /// Reads the checkpoint of a PushScaler; `None` if there is none, or one that does not parse.
    fn read_checkpoint<'a>(
        &'a self,
        scaler: &'a ScalerKey,
    ) -> BoxFuture<'a, Result<Option<PushScalerCheckpoint>, ScaleError>> {
        let _ = scaler;
        Box::pin(std::future::ready(Ok(None)))
    }

    /// Removes the marks of these pods.
    fn unmark<'a>(
        &'a self,
        target: &'a TargetRef,
        pods: &'a [PodRef],
    ) -> BoxFuture<'a, MarkResult> {
        let _ = (target, pods);
        Box::pin(std::future::ready(MarkResult::default()))
    }
}

/// A pod by name and uid. The uid distinguishes it from a later pod of the same name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodRef {
    /// `metadata.name`.
    pub name: String,
    /// `metadata.uid`.
    pub uid: PodUid,
}

/// The owner of a pod's deletion cost annotation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CostOwner {
    /// The annotation is not set.
    #[default]
    None,
    /// Pushscale set it.
    Us,
    /// Another client set it. Pushscale never overwrites it.
    Other,
}

/// The outcome of marking or unmarking pods, as counts of pods.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MarkResult {
    /// Pods whose annotation was updated.
    pub updated: usize,
    /// Pods that were skipped: deleted, or the annotation belongs to another client by now.
    pub skipped: usize,
    /// Pods whose update failed.
    pub failed: usize,
    /// Whether the API server forbids it: the permission to `patch` pods is missing.
    pub forbidden: bool,
    /// The error of one failed update.
    pub error: Option<String>,
}

/// The scale of a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scale {
    /// `spec.replicas`.
    pub replicas: u32,
    /// `status.replicas`; `None` if the target does not report it.
    pub existing: Option<u32>,
    /// `status.selector`; empty if the target has none.
    pub selector: String,
    /// `metadata.uid` of the target, which distinguishes it from a later one of the same name; `None` if it is unknown.
    pub uid: Option<String>,
    /// `metadata.resourceVersion` as a number, which increases with each change; 0 if it is not a number.
    pub version: u64,
}

/// The outcome of a write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Written {
    /// The replica count was set.
    Done(Scale),
    /// Another client changed the replica count, or created the target again, first; this is the current scale.
    Conflict(Scale),
}

/// Whether the API server worked: it did if it knows that the object does not exist.
pub(crate) fn api_succeeded<T>(outcome: &Result<T, ScaleError>) -> bool {
    matches!(outcome, Ok(_) | Err(ScaleError::NotFound { .. }))
}

impl ScaleError {
    /// Whether the target certainly does not exist.
    pub(crate) fn is_gone(&self) -> bool {
        matches!(
            self,
            Self::NotFound { .. } | Self::UnknownKind { missing: true, .. }
        )
    }
}

/// Why a scale could not be read or written.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[expect(missing_docs, reason = "each variant's message describes it")]
pub enum ScaleError {
    #[error("unknown kind {kind} in {api_version}: {message}")]
    UnknownKind {
        kind: String,
        api_version: String,
        message: String,
        /// Whether the API server answered that there is no such kind, instead of failing.
        missing: bool,
    },
    #[error("{target} in namespace {namespace} does not exist or has no scale subresource")]
    NotFound { target: String, namespace: String },
    #[error("{target}: forbidden: {message}")]
    Forbidden { target: String, message: String },
    /// Another aggregator is the leader. The write may have been stored before.
    #[error("{target}: the write was abandoned: another aggregator is the leader")]
    NotLeader { target: String },
    /// The PushScaler stopped scaling during the write, which may have been stored.
    #[error("{target}: the write was cancelled: the PushScaler no longer scales")]
    Cancelled { target: String },
    #[error("{target}: {message}")]
    Other { target: String, message: String },
}
