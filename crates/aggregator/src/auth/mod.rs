//! Authentication of pushes. A sidecar sends its pod's service account token; the API server reviews each token once and
//! the result is cached.
//!
//! A request that is rejected here costs neither parsing nor a turn of the control loop.

mod claims;
mod deleted_pods;
mod denial_limiter;
mod rate_limiter;
mod token_cache;
mod token_review;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use hyper::header::{AUTHORIZATION, HeaderMap};
use pushscale_decision::PodUid;
use thiserror::Error;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};

use crate::metrics::{Metrics, ReviewOutcome};
use claims::Claims;
use deleted_pods::DeletedPods;
use denial_limiter::DenialLimiter;
use rate_limiter::RateLimiter;
use token_cache::TokenCache;
pub use token_review::{KubeTokenReviewer, ReviewError, TokenReviewer};

/// Timeout of one review, including the wait for a permit. A sidecar waits two seconds for its response.
const REVIEW_TIMEOUT: Duration = Duration::from_secs(5);

/// Maximum concurrent reviews: after a restart every pod of the cluster needs one.
const MAX_CONCURRENT_REVIEWS: usize = 32;

/// Authenticates pods by their service account tokens.
pub(crate) struct Authenticator {
    reviewer: Option<Arc<dyn TokenReviewer>>,
    review_permits: Semaphore,
    token_cache: TokenCache,
    denial_limiter: DenialLimiter,
    deleted_pods: DeletedPods,
    metrics: Metrics,
}

/// The sender of a push.
#[derive(Debug)]
pub(crate) enum Caller {
    /// Authentication is off.
    Anonymous,
    /// The API server confirmed the pod's identity.
    Pod(Arc<AuthenticatedPod>),
}

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
    pub(crate) identity: PodIdentity,
    expires: SystemTime,
    rate_limiter: RateLimiter,
}

/// Why a push was not authenticated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum AuthError {
    #[error(
        "token missing: send the pod's service account token, audience pushscale, as authorization: Bearer …"
    )]
    TokenMissing,
    #[error("not a service account token")]
    NotAServiceAccountToken,
    #[error("wrong audience: the token must be issued for the audience pushscale")]
    WrongAudience,
    #[error("the token is not bound to a pod: mount a projected service account token")]
    NotPodBound,
    #[error("the token has expired")]
    Expired,
    #[error("the token's pod was deleted")]
    PodDeleted,
    #[error("the API server denied the token")]
    Denied,
    #[error("the API server could not review the token")]
    ReviewUnavailable,
    #[error("too many tokens from this address were denied: wait")]
    TooManyDenials,
    #[error("rate limit exceeded: a pod may push at most once every 50 ms")]
    RateLimited,
}

impl Authenticator {
    /// Creates an authenticator that reviews tokens with `reviewer`. `None` turns authentication off.
    pub(crate) fn new(reviewer: Option<Arc<dyn TokenReviewer>>, metrics: Metrics) -> Self {
        Self {
            reviewer,
            review_permits: Semaphore::new(MAX_CONCURRENT_REVIEWS),
            token_cache: TokenCache::default(),
            denial_limiter: DenialLimiter::default(),
            deleted_pods: DeletedPods::default(),
            metrics,
        }
    }

    /// Authenticates a request from `address` by its headers, and applies the pod's rate limit.
    pub(crate) async fn authenticate(
        &self,
        headers: &HeaderMap,
        address: IpAddr,
    ) -> Result<Caller, AuthError> {
        let Some(reviewer) = &self.reviewer else {
            return Ok(Caller::Anonymous);
        };
        let token = bearer(headers).ok_or(AuthError::TokenMissing)?;
        let entry = match self.token_cache.get(token) {
            Some(entry) => entry,
            None => {
                // Unverified claims are never trusted, but they are enough to reject a token without a review.
                let claims = Claims::parse(token)?;
                if self.deleted_pods.contains(&claims.uid) {
                    return Err(AuthError::PodDeleted);
                }
                if self.denial_limiter.is_exceeded(address) {
                    return Err(AuthError::TooManyDenials);
                }
                self.token_cache.insert(token, claims.expires)?
            }
        };
        // Concurrent requests with one token share one review; the next request retries a failed one.
        let reviewed = entry
            .result
            .get_or_try_init(|| async {
                let result = self.review(reviewer.as_ref(), token, entry.expires).await?;
                if result.is_err() {
                    self.denial_limiter.record(address);
                }
                Ok(result)
            })
            .await
            .inspect_err(|_| self.token_cache.remove_unreviewed(token))?;
        let pod = reviewed.as_ref().map_err(|error| *error)?;
        if SystemTime::now() >= pod.expires {
            self.token_cache.remove(token);
            return Err(AuthError::Expired);
        }
        if self.deleted_pods.contains(&pod.identity.uid) {
            self.token_cache.remove(token);
            return Err(AuthError::PodDeleted);
        }
        if !pod.rate_limiter.try_acquire(Instant::now()) {
            // The delayed response slows down a client that floods.
            tokio::time::sleep(rate_limiter::INTERVAL).await;
            return Err(AuthError::RateLimited);
        }
        Ok(Caller::Pod(Arc::clone(pod)))
    }

    /// Rejects the tokens of a deleted pod from now on.
    pub(crate) fn pod_deleted(&self, uid: &PodUid) {
        if self.reviewer.is_some() {
            self.deleted_pods.insert(uid);
        }
    }

    /// Accepts the tokens of this pod again: a pod that left a selector may return to it.
    pub(crate) fn pod_exists(&self, uid: &PodUid) {
        if self.reviewer.is_some() {
            self.deleted_pods.remove(uid);
        }
    }

    /// Reviews a token. The outer error means that the review failed, the inner one that the token was denied.
    async fn review(
        &self,
        reviewer: &dyn TokenReviewer,
        token: &str,
        expires: SystemTime,
    ) -> Result<Result<Arc<AuthenticatedPod>, AuthError>, AuthError> {
        let review = async {
            let _permit = self.review_permits.acquire().await;
            reviewer.review(token).await
        };
        let identity = match timeout(REVIEW_TIMEOUT, review).await {
            Ok(Ok(identity)) => identity,
            Ok(Err(ReviewError::Denied(reason))) => {
                self.metrics.token_reviewed(ReviewOutcome::Denied);
                tracing::debug!(reason, "token denied");
                return Ok(Err(AuthError::Denied));
            }
            Ok(Err(ReviewError::NotPodBound)) => {
                self.metrics.token_reviewed(ReviewOutcome::Denied);
                return Ok(Err(AuthError::NotPodBound));
            }
            Ok(Err(ReviewError::Failed(error))) => {
                self.metrics.token_reviewed(ReviewOutcome::Failed);
                tracing::warn!(error, "TokenReview failed");
                return Err(AuthError::ReviewUnavailable);
            }
            Err(_) => {
                self.metrics.token_reviewed(ReviewOutcome::Failed);
                tracing::warn!(error = "timed out", "TokenReview failed");
                return Err(AuthError::ReviewUnavailable);
            }
        };
        self.metrics.token_reviewed(ReviewOutcome::Authenticated);
        Ok(Ok(Arc::new(AuthenticatedPod {
            identity,
            expires,
            rate_limiter: RateLimiter::default(),
        })))
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

#[cfg(test)]
mod tests;
