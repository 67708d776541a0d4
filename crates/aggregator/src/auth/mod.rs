//! Authentication of pushes. A sidecar sends its pod's service account token; the API server reviews each token once
//! and the result is cached.
//!
//! A request that is rejected here costs neither parsing nor a turn of the control loop.

mod claims;
mod connection;
mod error;
mod identity;
mod known_pods;
mod rate_limiter;
mod review_limiter;
mod reviews;
mod token_cache;
mod token_review;

use std::net::IpAddr;
use std::sync::Arc;

use hyper::header::{AUTHORIZATION, HeaderMap};
use pushscale_daemon::http_server::Limits;
use pushscale_decision::PodUid;
use tokio::time::Instant;

use crate::metrics::Metrics;
pub(crate) use claims::Claims;
pub(crate) use connection::ConnectionToken;
pub(crate) use error::AuthError;
pub(crate) use identity::AuthenticatedPod;
pub use identity::PodIdentity;
use known_pods::KnownPods;
use reviews::Reviews;
use token_cache::{ReviewResult, TokenDigest};
pub use token_review::{KubeTokenReviewer, ReviewError, TokenReviewer};

/// Authenticates pods by their service account tokens.
pub(crate) struct Authenticator {
    /// `None` if authentication is off.
    reviews: Option<Arc<Reviews>>,
    known_pods: KnownPods,
}

/// The sender of a push.
#[derive(Debug)]
pub(crate) enum Caller {
    /// Authentication is off.
    Anonymous,
    /// The API server confirmed the pod's identity.
    Pod {
        pod: Arc<AuthenticatedPod>,
        /// Whether further requests of the connection need no token.
        remembered: bool,
    },
}

impl Authenticator {
    /// Creates an authenticator that reviews tokens with `reviewer`, for connections with these limits. `None` turns
    /// authentication off.
    pub(crate) fn new(
        reviewer: Option<Arc<dyn TokenReviewer>>,
        limits: &Limits,
        metrics: Metrics,
    ) -> Self {
        Self {
            reviews: reviewer.map(|reviewer| Arc::new(Reviews::new(reviewer, limits, metrics))),
            known_pods: KnownPods::default(),
        }
    }

    /// Authenticates a request from `address` by its token, or by the token of an earlier request of its connection,
    /// and applies the pod's rate limit.
    pub(crate) async fn authenticate(
        &self,
        headers: &HeaderMap,
        address: IpAddr,
        connection: &ConnectionToken,
    ) -> Result<Caller, AuthError> {
        let Some(reviews) = &self.reviews else {
            return Ok(Caller::Anonymous);
        };
        let (digest, reviewed) = match bearer(headers) {
            Some(token) => {
                let digest = TokenDigest::new(token);
                (digest, self.review(reviews, token, digest, address).await?)
            }
            None => {
                let digest = connection.get().ok_or(AuthError::TokenMissing)?;
                // An expired token is not in the cache: the sidecar sends the one that has replaced it.
                let cached = reviews.cache.get(&digest);
                (digest, cached.ok_or(AuthError::TokenMissing)?)
            }
        };
        let pod = reviewed?;
        // A deleted pod's token stays valid for up to an hour, according to its claims.
        if !self.known_pods.contains(&pod.identity.uid) {
            return Err(AuthError::UnknownPod);
        }
        if !pod.rate_limiter.try_acquire(Instant::now()) {
            // The delayed response slows down a client that floods.
            tokio::time::sleep(rate_limiter::INTERVAL).await;
            return Err(AuthError::RateLimited);
        }
        let remembered = connection.remember(digest);
        Ok(Caller::Pod { pod, remembered })
    }

    /// Returns the cached result of a token's review, or reviews it. Fails before a review if the token cannot be
    /// valid.
    async fn review(
        &self,
        reviews: &Arc<Reviews>,
        token: &str,
        digest: TokenDigest,
        address: IpAddr,
    ) -> Result<ReviewResult, AuthError> {
        if let Some(result) = reviews.cache.get(&digest) {
            return Ok(result);
        }
        // Unverified claims are never trusted, but they are enough to reject a token without a review.
        let claims = Claims::parse(token)?;
        // The control loop would reject the reading after the review. A pod that it does not know yet pushes again.
        if !self.known_pods.contains(&claims.uid) {
            return Err(AuthError::UnknownPod);
        }
        Ok(reviews.review(token, digest, &claims, address).await)
    }

    /// Returns the number of tokens whose review is cached.
    pub(crate) fn cached_tokens(&self) -> usize {
        let reviews = self.reviews.as_ref();
        reviews.map_or(0, |reviews| reviews.cache.reviewed())
    }

    /// Accepts tokens of this pod from now on.
    pub(crate) fn pod_selected(&self, uid: &PodUid) {
        if self.reviews.is_some() {
            self.known_pods.insert(uid);
        }
    }

    /// Rejects the tokens of this pod from now on, also those that were reviewed: it was deleted, or no target selects
    /// it any more.
    pub(crate) fn pod_unselected(&self, uid: &PodUid) {
        if self.reviews.is_some() {
            self.known_pods.remove(uid);
        }
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

#[cfg(test)]
mod tests;
