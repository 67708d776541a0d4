//! Reviews of tokens. Each runs in its own task: a client that hangs up neither ends the review, whose cost for
//! the API server is already paid, nor leaves anything behind.

use std::future::pending;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use pushscale_daemon::fair_semaphore::FairSemaphore;
use pushscale_daemon::http_server::Limits;
use pushscale_daemon::log_limiter::LogLimiter;
use pushscale_decision::PodUid;
use tokio::time::{Instant, timeout};

use super::claims::Claims;
use super::error::AuthError;
use super::identity::AuthenticatedPod;
use super::rate_limiter::RateLimiter;
use super::review_limiter::{Displaced, MAX_IN_PROGRESS, ReviewLimiter, ReviewPermit};
use super::token_cache::{Lookup, ReviewResult, TokenCache, TokenDigest};
use super::token_review::{ReviewError, TokenReviewer};
use crate::metrics::{ApiRequest, Metrics, ReviewOutcome};

/// Timeout of one review, including the wait for its turn. A sidecar waits two seconds for its response.
const REVIEW_TIMEOUT: Duration = Duration::from_secs(5);

/// Maximum concurrent requests to the API server: after a restart every pod of the cluster needs a review.
const MAX_CONCURRENT_REQUESTS: usize = 32;

/// The part of the concurrent requests of which one pod's tokens have at most [`RESERVED_PER_POD`]. Otherwise attackers
/// with 32 addresses that know two pods use all requests, and other pods wait for theirs. The other part is for any
/// token: a known pod whose tokens are forged should not have to wait for two reviews at a time.
const RESERVED_REQUESTS: usize = 16;

/// A pod has one token in review, and two at a renewal.
const RESERVED_PER_POD: usize = 2;

/// Returns the concurrent requests of one address: its share of the connections, and at least one. With one, the next
/// request queues behind those of all other addresses, so that the review of a new pod waits for at most one of each
/// other address. Pods that share an address, behind a NAT, need more of both.
fn requests_per_address(limits: &Limits) -> usize {
    let share =
        MAX_CONCURRENT_REQUESTS * limits.connections_per_address / limits.connections.max(1);
    share.clamp(1, MAX_CONCURRENT_REQUESTS)
}

/// How long a denial is cached.
const DENIAL_TTL: Duration = Duration::from_secs(60);

pub(super) struct Reviews {
    reviewer: Arc<dyn TokenReviewer>,
    by_address: FairSemaphore,
    /// The requests of which one pod's tokens have few.
    reserved: FairSemaphore<PodUid>,
    /// All other requests.
    shared: FairSemaphore,
    pub(super) cache: TokenCache,
    limiter: Arc<ReviewLimiter>,
    metrics: Metrics,
    failure_log: LogLimiter,
}

impl Reviews {
    pub(super) fn new(reviewer: Arc<dyn TokenReviewer>, limits: &Limits, metrics: Metrics) -> Self {
        let per_address = requests_per_address(limits);
        let shared = MAX_CONCURRENT_REQUESTS - RESERVED_REQUESTS;
        Self {
            reviewer,
            // The total is limited by the other two.
            by_address: FairSemaphore::new(MAX_IN_PROGRESS, per_address),
            reserved: FairSemaphore::new(RESERVED_REQUESTS, RESERVED_PER_POD),
            shared: FairSemaphore::new(shared, shared),
            cache: TokenCache::default(),
            limiter: Arc::new(ReviewLimiter::new(per_address)),
            metrics,
            failure_log: LogLimiter::default(),
        }
    }

    /// Reviews a token for a request from `address`. Concurrent requests with one token share its review.
    pub(super) async fn review(
        self: &Arc<Self>,
        token: &str,
        digest: TokenDigest,
        claims: &Claims,
        address: IpAddr,
    ) -> ReviewResult {
        let reserve = || self.limiter.try_reserve(address, &claims.uid, token);
        let mut result = match self.cache.join_or_start(digest, reserve)? {
            Lookup::Reviewed(result) => return result,
            Lookup::InProgress(result) => result,
            Lookup::Started((mut permit, displaced), sender) => {
                let result = sender.subscribe();
                let reviews = Arc::clone(self);
                let expires = claims.expires;
                tokio::spawn(async move {
                    let mut result = reviews.ask(address, &mut permit, displaced).await;
                    if matches!(result, Err(AuthError::Denied)) && expires <= SystemTime::now() {
                        result = Err(AuthError::Expired);
                    }
                    let until = match result {
                        Ok(_) => Some(expiry(expires)),
                        Err(AuthError::ReviewUnavailable) => None,
                        Err(_) => Some(Instant::now() + DENIAL_TTL),
                    };
                    if result.is_err() && until.is_some() {
                        permit.record_denial();
                    }
                    reviews.cache.finish(digest, result.clone(), until);
                    sender.send_replace(Some(result));
                });
                result
            }
        };
        let result = result.wait_for(Option::is_some).await;
        // The sender is dropped without a result only when the runtime shuts down.
        let result = result.ok().and_then(|result| result.clone());
        result.unwrap_or(Err(AuthError::ReviewUnavailable))
    }

    /// Asks the API server when it is the turn of the address. [`AuthError::ReviewUnavailable`] means that it gave no
    /// result, or that the review was displaced while it waited.
    async fn ask(
        &self,
        address: IpAddr,
        permit: &mut ReviewPermit,
        displaced: Displaced,
    ) -> ReviewResult {
        let mut start = None;
        let review = async {
            // First the address's own: the tokens of one address occupy only one request of the pods that they name.
            let _of_address = self.by_address.for_client(address).acquire(1).await;
            let (reserved, shared) = (
                self.reserved.for_client(permit.pod().clone()),
                self.shared.for_client(address),
            );
            let _request = tokio::select! {
                biased;
                request = reserved.acquire(1) => request,
                request = shared.acquire(1) => request,
            };
            let Some(waiting) = permit.start() else {
                // The other branch of the select below ends it.
                return pending().await;
            };
            start = Some(Instant::now());
            self.reviewer.review(&waiting.token).await
        };
        let result = tokio::select! {
            biased;
            result = timeout(REVIEW_TIMEOUT, review) => result,
            // It was not reviewed, so it is not counted as a review.
            _ = displaced => return Err(AuthError::ReviewUnavailable),
        };
        let (outcome, result) = match result {
            Ok(Ok(identity)) => {
                let pod = Arc::new(AuthenticatedPod {
                    identity: Arc::new(identity),
                    rate_limiter: RateLimiter::default(),
                });
                (ReviewOutcome::Authenticated, Ok(pod))
            }
            Ok(Err(ReviewError::Denied(reason))) => {
                tracing::debug!(reason, "token denied");
                (ReviewOutcome::Denied, Err(AuthError::Denied))
            }
            Ok(Err(ReviewError::NotPodBound)) => {
                (ReviewOutcome::Denied, Err(AuthError::NotPodBound))
            }
            Ok(Err(ReviewError::Failed(error))) => {
                self.log_failure(&error);
                (ReviewOutcome::Failed, Err(AuthError::ReviewUnavailable))
            }
            Err(_) => {
                self.log_failure("timed out");
                (ReviewOutcome::Failed, Err(AuthError::ReviewUnavailable))
            }
        };
        self.metrics.token_reviews.increment(outcome);
        // A review that timed out in the queue was not a request to the API server.
        if let Some(start) = start {
            let succeeded = outcome != ReviewOutcome::Failed;
            self.metrics
                .api_request_ended(ApiRequest::TokenReview, start, succeeded);
        }
        result
    }

    /// Logs at a limited rate: while the API server is unreachable, each push with an unknown token fails.
    fn log_failure(&self, error: &str) {
        if let Some(left_out) = self.failure_log.allow(Instant::now().into_std()) {
            tracing::warn!(error, left_out, "TokenReview failed");
        }
    }
}

/// Converts the expiry of a token that the API server has accepted to the monotonic clock.
fn expiry(expires: SystemTime) -> Instant {
    /// A token that has expired by this node's clock was accepted by the API server's, so this one is ahead. One review
    /// per pod and minute is better than one per push.
    const MIN: Duration = Duration::from_secs(60);
    /// A far expiry must not overflow the clock.
    const MAX: Duration = Duration::from_hours(24);
    let left = expires
        .duration_since(SystemTime::now())
        .unwrap_or_default();
    Instant::now() + left.clamp(MIN, MAX)
}
