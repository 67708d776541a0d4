//! Who may push. A sidecar shows its pod's token; the API server says once whose it is; from then on this remembers.
//!
//! What is refused here costs no parsing and no turn of the control loop.

mod claims;
mod denials;
mod gone;
mod pace;
mod remembered;
mod review;

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
use denials::Denials;
use gone::Gone;
use pace::Pace;
use remembered::Remembered;
pub use review::{ClusterReviews, ReviewError, Reviewed, TokenReviewer};

/// How long a review may take, waiting for its turn included. A sidecar waits two seconds for its answer.
const REVIEW_TIMEOUT: Duration = Duration::from_secs(5);

/// Reviews under way at a time: after a restart every pod of the cluster has one to come.
const REVIEWS_AT_A_TIME: usize = 32;

/// Decides who may push.
pub(crate) struct Gate {
    reviewer: Option<Arc<dyn TokenReviewer>>,
    turns: Semaphore,
    remembered: Remembered,
    denials: Denials,
    gone: Gone,
    metrics: Metrics,
}

/// Whoever pushes.
#[derive(Debug)]
pub(crate) enum Caller {
    /// No token is asked for.
    Anyone,
    /// This pod, as the API server says.
    Pod(Arc<Known>),
}

/// A pod whose token was reviewed.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) uid: PodUid,
    expires: SystemTime,
    pace: Pace,
}

/// Why somebody may not push.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum Turned {
    #[error(
        "no token: send the pod's service account token, audience pushscale, as authorization: Bearer …"
    )]
    NoToken,
    #[error("the token is none that a service account has")]
    NoClaims,
    #[error("the token is for another audience: it must be for pushscale")]
    OtherAudience,
    #[error("the token is not bound to a pod: mount a projected service account token")]
    NotOfAPod,
    #[error("the token has expired")]
    Expired,
    #[error("the token is that of a pod that is gone")]
    GonePod,
    #[error("the API server does not know the token")]
    Denied,
    #[error("the API server cannot be asked about the token now")]
    NotReviewed,
    #[error("too many tokens from this address were refused: wait")]
    TooManyDenied,
    #[error("a pod pushes at most every 50 ms")]
    TooFast,
}

impl Gate {
    /// Asks `reviewer` whose a token is; `None`: no token is asked for.
    pub(crate) fn new(reviewer: Option<Arc<dyn TokenReviewer>>, metrics: Metrics) -> Self {
        Self {
            reviewer,
            turns: Semaphore::new(REVIEWS_AT_A_TIME),
            remembered: Remembered::default(),
            denials: Denials::default(),
            gone: Gone::default(),
            metrics,
        }
    }

    /// Who sends these headers from that address.
    pub(crate) async fn admit(&self, headers: &HeaderMap, from: IpAddr) -> Result<Caller, Turned> {
        let Some(reviewer) = &self.reviewer else {
            return Ok(Caller::Anyone);
        };
        let token = bearer(headers).ok_or(Turned::NoToken)?;
        let slot = match self.remembered.get(token) {
            Some(slot) => slot,
            None => {
                // What the token says of itself is not believed, but it can be refused for it without asking anybody.
                let claims = Claims::of(token)?;
                if self.gone.contains(&claims.uid) {
                    return Err(Turned::GonePod);
                }
                if self.denials.too_many(from) {
                    return Err(Turned::TooManyDenied);
                }
                self.remembered.make(token, claims.expires)?
            }
        };
        // One review a token, however many ask at a time; a failed one is tried again by the next.
        let reviewed = slot
            .verdict
            .get_or_try_init(|| async {
                let verdict = self.review(reviewer.as_ref(), token, slot.expires).await?;
                if verdict.is_err() {
                    self.denials.count(from);
                }
                Ok(verdict)
            })
            .await
            .inspect_err(|_| self.remembered.forget_unreviewed(token))?;
        let known = reviewed.as_ref().map_err(|turned| *turned)?;
        if SystemTime::now() >= known.expires {
            self.remembered.forget(token);
            return Err(Turned::Expired);
        }
        if self.gone.contains(&known.uid) {
            self.remembered.forget(token);
            return Err(Turned::GonePod);
        }
        if !known.pace.allows(Instant::now()) {
            // Not at once: whoever floods waits for each of its answers.
            tokio::time::sleep(pace::GAP).await;
            return Err(Turned::TooFast);
        }
        Ok(Caller::Pod(Arc::clone(known)))
    }

    /// The pod is gone, and so is what its token allowed.
    pub(crate) fn pod_gone(&self, uid: &PodUid) {
        if self.reviewer.is_some() {
            self.gone.add(uid);
        }
    }

    /// The pod is there, or there again: one that left a selector may come back to it.
    pub(crate) fn pod_seen(&self, uid: &PodUid) {
        if self.reviewer.is_some() {
            self.gone.remove(uid);
        }
    }

    async fn review(
        &self,
        reviewer: &dyn TokenReviewer,
        token: &str,
        expires: SystemTime,
    ) -> Result<Result<Arc<Known>, Turned>, Turned> {
        let asked = async {
            let _turn = self.turns.acquire().await;
            reviewer.review(token).await
        };
        let outcome = timeout(REVIEW_TIMEOUT, asked).await;
        let reviewed = match outcome {
            Ok(Ok(reviewed)) => reviewed,
            Ok(Err(ReviewError::Denied(said))) => {
                self.metrics.reviewed(ReviewOutcome::Denied);
                tracing::debug!(said, "a token was denied");
                return Ok(Err(Turned::Denied));
            }
            Ok(Err(ReviewError::NotOfAPod)) => {
                self.metrics.reviewed(ReviewOutcome::Denied);
                return Ok(Err(Turned::NotOfAPod));
            }
            Ok(Err(ReviewError::Failed(said))) => {
                self.metrics.reviewed(ReviewOutcome::Failed);
                tracing::warn!(
                    error = said,
                    "a token cannot be reviewed, the sidecar will try again"
                );
                return Err(Turned::NotReviewed);
            }
            Err(_) => {
                self.metrics.reviewed(ReviewOutcome::Failed);
                tracing::warn!("a token cannot be reviewed: the API server does not answer");
                return Err(Turned::NotReviewed);
            }
        };
        self.metrics.reviewed(ReviewOutcome::Authenticated);
        Ok(Ok(Arc::new(Known {
            namespace: reviewed.namespace,
            name: reviewed.pod_name,
            uid: reviewed.pod_uid.into(),
            expires,
            pace: Pace::default(),
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
