//! The one way in which a size is read and written.

use std::future::Future;
use std::pin::Pin;

use thiserror::Error;

use pushscale_decision::PodUid;

use crate::names::TargetRef;

/// A future of a trait object.
pub type Pending<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Writes sizes. In a cluster through `/scale`; in the demo by starting and stopping processes.
pub trait ScaleTarget: Send + Sync + 'static {
    /// Makes it `to`, if and only if it is still `from`.
    fn write<'a>(
        &'a self,
        target: &'a TargetRef,
        from: u32,
        to: u32,
    ) -> Pending<'a, Result<Written, ScaleError>>;

    /// Says of these pods that they are to go first when the size shrinks. Asked before the smaller size is written.
    fn send_first<'a>(&'a self, target: &'a TargetRef, pods: &'a [PodName]) -> Pending<'a, Marked> {
        let _ = (target, pods);
        Box::pin(std::future::ready(Marked::default()))
    }

    /// Takes that back of pods that stay.
    fn let_stay<'a>(&'a self, target: &'a TargetRef, pods: &'a [PodName]) -> Pending<'a, Marked> {
        let _ = (target, pods);
        Box::pin(std::future::ready(Marked::default()))
    }
}

/// A pod by its name, and the uid that makes sure that it is still this one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodName {
    /// `metadata.name`.
    pub name: String,
    /// `metadata.uid`.
    pub uid: PodUid,
}

/// Whose word on a pod's place among those that go it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Cost {
    /// Nobody's.
    #[default]
    None,
    /// Ours.
    Ours,
    /// Somebody else's, which is never touched.
    Others,
}

/// How many pods were told, and how many were not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Marked {
    /// Done.
    pub told: usize,
    /// Somebody else has said something of it in the meantime.
    pub held: usize,
    /// Not done.
    pub failed: usize,
    /// Why, for one of those.
    pub problem: Option<String>,
}

/// A target's size as read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scale {
    /// `spec.replicas`.
    pub replicas: u32,
    /// `status.selector`; empty if the target has none.
    pub selector: String,
    /// `metadata.resourceVersion` as a number, which grows with each change; 0 if it is none.
    pub version: u64,
}

/// How a write ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Written {
    /// It is `to` now.
    Done(Scale),
    /// Somebody else had set another size in the meantime; this one.
    Moved(Scale),
}

/// Why a size cannot be read or written. The message names the object and ends where a next step begins.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ScaleError {
    /// The API server knows no such kind.
    #[error("there is no kind {kind} in {api_version}: {message}")]
    NoKind {
        /// `kind`.
        kind: String,
        /// `apiVersion`.
        api_version: String,
        /// What the API server said.
        message: String,
    },
    /// There is no such object, or it has no scale subresource.
    #[error("{target} in namespace {namespace} does not exist or has no scale subresource")]
    NotFound {
        /// The object.
        target: String,
        /// Its namespace.
        namespace: String,
    },
    /// Permission is missing.
    #[error("{target}: not allowed: {message}")]
    Forbidden {
        /// The object.
        target: String,
        /// What the API server said.
        message: String,
    },
    /// Anything else.
    #[error("{target}: {message}")]
    Other {
        /// The object.
        target: String,
        /// What was said.
        message: String,
    },
}
