//! The pod that a token belongs to.

use std::sync::Arc;

use pushscale_decision::PodUid;

use super::rate_limiter::RateLimiter;

/// The identity of a pod, as the API server reports it for a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodIdentity {
    /// The namespace of the service account, which is the pod's.
    pub namespace: String,
    /// `metadata.name`.
    pub name: String,
    /// `metadata.uid`.
    pub uid: PodUid,
}

/// A pod whose token was reviewed.
#[derive(Debug)]
pub(crate) struct AuthenticatedPod {
    pub(crate) identity: Arc<PodIdentity>,
    pub(super) rate_limiter: RateLimiter,
}
