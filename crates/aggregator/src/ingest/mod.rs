//! The push endpoint: `POST /v1/readings`, with limits on size and time and a counter for each outcome.

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::{Method, Request, StatusCode};
use pushscale_daemon::body::BodyError;
use pushscale_daemon::body_budget::{AddressBudget, BodyBudget, BodyLimits};
use pushscale_daemon::error::chain;
use pushscale_daemon::http_server::Limits;
use pushscale_daemon::readiness::Readiness;
use pushscale_daemon::reply::{Reply, json, reject};
use pushscale_decision::Rejection;
use pushscale_protocol::{MAX_BODY_BYTES, PUSH_PATH, ParseError, Push, PushResponse};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout};

use crate::auth::{AuthError, Authenticator, Caller, ConnectionToken, PodIdentity};
use crate::convert::received_reading;
use crate::event::{Event, Pushed, Verdict};
use crate::metrics::{Metrics, PushOutcome};
use crate::pacing::Pacing;

/// The bounds of the pushes in progress, until the control loop has handled them.
static BODY_LIMITS: BodyLimits = BodyLimits {
    body: MAX_BODY_BYTES,
    // Most pushes are smaller. They need no share of what clients can hold that announce a large body and send nothing.
    uncounted: 4 << 10,
    total: 16 << 20,
    unit: 1 << 10,
    wait: Duration::from_secs(1),
    // A sidecar sends the body together with the head.
    timeout: Duration::from_secs(5),
};

/// Timeout for the loop's verdict, which takes microseconds unless the loop is stuck.
const LOOP_TIMEOUT: Duration = Duration::from_secs(5);

/// Receives pushes for the control loop.
pub(crate) struct Ingest {
    pub(crate) authenticator: Arc<Authenticator>,
    pub(crate) events: mpsc::Sender<Event>,
    /// Whether the PushScalers and the HPAs are listed.
    pub(crate) listed: Readiness,
    pub(crate) pacing: Pacing,
    pub(crate) budget: BodyBudget,
    pub(crate) metrics: Metrics,
}

/// Returns a budget for the bodies of pushes, of which one address can use its share of the connections: pods behind a
/// NAT need more of both.
pub(crate) fn body_budget(limits: &Limits) -> BodyBudget {
    let address = BODY_LIMITS.total * limits.connections_per_address / limits.connections.max(1);
    BodyBudget::new(&BODY_LIMITS, address)
}

/// A push that was not accepted.
struct PushError {
    status: StatusCode,
    outcome: PushOutcome,
    error: String,
}

impl Ingest {
    /// Handles one request of a connection from `address`.
    pub(crate) async fn handle(
        self: Arc<Self>,
        address: IpAddr,
        connection: Arc<ConnectionToken>,
        budget: AddressBudget,
        request: Request<Incoming>,
    ) -> Result<Reply, Infallible> {
        let accepted = self.accept(address, &connection, &budget, request).await;
        Ok(match accepted {
            Ok(response) => {
                self.metrics.pushes.increment(PushOutcome::Accepted);
                // Numbers and flags always have a JSON form.
                json(
                    StatusCode::OK,
                    serde_json::to_vec(&response).unwrap_or_default(),
                )
            }
            Err(error) => {
                self.metrics.pushes.increment(error.outcome);
                if error.outcome == PushOutcome::Overloaded {
                    self.pacing.overloaded();
                }
                reject(error.status, error.error)
            }
        })
    }

    async fn accept(
        &self,
        address: IpAddr,
        connection: &ConnectionToken,
        budget: &AddressBudget,
        request: Request<Incoming>,
    ) -> Result<PushResponse, PushError> {
        // The reading ages while its token is reviewed and its body waits for its share.
        let received = Instant::now();
        if request.uri().path() != PUSH_PATH {
            return Err(PushError::new(
                StatusCode::NOT_FOUND,
                PushOutcome::NotFound,
                format!("not found: push readings to {PUSH_PATH}"),
            ));
        }
        if request.method() != Method::POST {
            return Err(PushError::new(
                StatusCode::METHOD_NOT_ALLOWED,
                PushOutcome::NotFound,
                "method not allowed: use POST",
            ));
        }
        if !self.listed.is_ready() {
            return Err(PushError::new(
                StatusCode::SERVICE_UNAVAILABLE,
                PushOutcome::NotReady,
                "not ready: the PushScalers are not listed yet",
            ));
        }
        let caller = self
            .authenticator
            .authenticate(request.headers(), address, connection)
            .await?;
        let (body, reservation) = budget.read(request.into_body()).await?;
        let push = Push::parse(&body)?;
        let (pod, token_remembered) = match caller {
            Caller::Anonymous => {
                let pod = PodIdentity {
                    namespace: push.pod.namespace.to_string(),
                    name: push.pod.name.to_string(),
                    uid: push.pod.uid.to_string().into(),
                };
                (Arc::new(pod), false)
            }
            Caller::Pod { pod, remembered } => (Arc::clone(&pod.identity), remembered),
        };
        if push.pod.uid != pod.uid.as_str()
            || push.pod.name != pod.name
            || push.pod.namespace != pod.namespace
        {
            return Err(PushError::new(
                StatusCode::FORBIDDEN,
                PushOutcome::PodMismatch,
                format!(
                    "the token belongs to pod {}/{}: a pod can only push its own readings",
                    pod.namespace, pod.name
                ),
            ));
        }
        let interval = push.interval_seconds;
        let (reply, verdict) = oneshot::channel();
        let pushed = Pushed {
            pod,
            received,
            reading: received_reading(&push),
            reply,
            reservation,
        };
        self.events
            .try_send(Event::Pushed(Box::new(pushed)))
            .map_err(|error| match error {
                mpsc::error::TrySendError::Full(_) => PushError::overloaded(),
                mpsc::error::TrySendError::Closed(_) => PushError::shutting_down(),
            })?;
        match timeout(LOOP_TIMEOUT, verdict).await {
            Ok(Ok(verdict)) => check(verdict).map(|after| PushResponse {
                interval_seconds: self.pacing.accepted(interval, after),
                token_remembered,
            }),
            Ok(Err(_)) => Err(PushError::shutting_down()),
            Err(_) => Err(PushError::overloaded()),
        }
    }
}

/// Returns the time since the pod's last accepted reading; `None` for the first.
fn check(verdict: Verdict) -> Result<Option<Duration>, PushError> {
    Err(match verdict {
        Verdict::Accepted { after } => return Ok(after),
        Verdict::UnknownPod | Verdict::Rejected(Rejection::UnknownPod) => {
            AuthError::UnknownPod.into()
        }
        Verdict::PodMismatch { pod } => PushError::new(
            StatusCode::FORBIDDEN,
            PushOutcome::PodMismatch,
            format!("the uid belongs to pod {pod}: a pod can only push its own readings"),
        ),
        Verdict::RateLimited => AuthError::RateLimited.into(),
        Verdict::Rejected(rejection) => {
            let outcome = match rejection {
                Rejection::UnknownPod => PushOutcome::UnknownPod,
                Rejection::Duplicate { .. } => PushOutcome::Duplicate,
                Rejection::OutOfOrder { .. } => PushOutcome::OutOfOrder,
                Rejection::ClockSkew { .. } => PushOutcome::ClockSkew,
            };
            PushError::new(StatusCode::CONFLICT, outcome, rejection.to_string())
        }
    })
}

impl PushError {
    fn new(status: StatusCode, outcome: PushOutcome, error: impl Into<String>) -> Self {
        Self {
            status,
            outcome,
            error: error.into(),
        }
    }

    fn overloaded() -> Self {
        Self::new(
            StatusCode::TOO_MANY_REQUESTS,
            PushOutcome::Overloaded,
            "overloaded: retry in a second",
        )
    }

    fn shutting_down() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            PushOutcome::NotReady,
            "shutting down",
        )
    }
}

impl From<AuthError> for PushError {
    fn from(error: AuthError) -> Self {
        let outcome = match error {
            AuthError::TokenMissing | AuthError::NotAServiceAccountToken => {
                PushOutcome::TokenMissing
            }
            AuthError::WrongAudience => PushOutcome::WrongAudience,
            AuthError::NotPodBound => PushOutcome::TokenNotPodBound,
            AuthError::Expired => PushOutcome::TokenExpired,
            AuthError::UnknownPod => PushOutcome::UnknownPod,
            AuthError::Denied => PushOutcome::TokenDenied,
            AuthError::ReviewUnavailable => PushOutcome::ReviewUnavailable,
            AuthError::TooManyReviews => PushOutcome::TooManyReviews,
            AuthError::RateLimited => PushOutcome::RateLimited,
        };
        let status = match error {
            AuthError::UnknownPod => StatusCode::NOT_FOUND,
            AuthError::ReviewUnavailable => StatusCode::SERVICE_UNAVAILABLE,
            AuthError::TooManyReviews | AuthError::RateLimited => StatusCode::TOO_MANY_REQUESTS,
            _ => StatusCode::UNAUTHORIZED,
        };
        Self::new(status, outcome, error.to_string())
    }
}

impl From<BodyError> for PushError {
    fn from(error: BodyError) -> Self {
        let outcome = match error {
            BodyError::TooLarge(_) => PushOutcome::TooLarge,
            BodyError::Incomplete(_) => PushOutcome::InvalidBody,
            BodyError::Timeout(_) => PushOutcome::BodyTimeout,
            // Longer intervals of all pods would not help the pods of one address.
            BodyError::AddressBusy => PushOutcome::BodyLimitReached,
            BodyError::Busy => PushOutcome::Overloaded,
        };
        Self::new(error.status(), outcome, error.to_string())
    }
}

impl From<ParseError> for PushError {
    fn from(error: ParseError) -> Self {
        let outcome = match error {
            ParseError::Shape(_) => PushOutcome::InvalidBody,
            ParseError::Version(_) => PushOutcome::UnsupportedVersion,
            ParseError::Value { .. } => PushOutcome::ValueOutOfRange,
        };
        Self::new(StatusCode::BAD_REQUEST, outcome, chain(&error).to_string())
    }
}

#[cfg(test)]
mod tests;
