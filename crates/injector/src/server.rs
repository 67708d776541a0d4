//! Serves `POST /inject`.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::body::Incoming;
use hyper::header::{CONNECTION, HeaderValue};
use hyper::{Method, Request, StatusCode};
use pushscale_daemon::body::BodyError;
use pushscale_daemon::body_budget::{AddressBudget, BodyLimits};
use pushscale_daemon::error::chain;
use pushscale_daemon::log_limiter::LogLimiter;
use pushscale_daemon::reply::{Reply, json, reject};
use pushscale_daemon::shutdown::Shutdown;
use thiserror::Error;
use tokio::sync::mpsc;

use crate::admit::{InvalidReview, OwnerEvent, admit};
use crate::facts::Sidecar;
use crate::metrics::{EventWrite, Metrics, Rejection};
use crate::native_sidecar::NativeSidecar;

/// The path in the webhook's configuration.
pub const PATH: &str = "/inject";

/// The API server's own limit for requests.
pub(crate) const MAX_BODY_BYTES: usize = 3 << 20;

/// The bounds of reviews. Most are smaller than a unit.
pub(crate) static BODY_LIMITS: BodyLimits = BodyLimits {
    body: MAX_BODY_BYTES,
    uncounted: 0,
    total: 6 << 20,
    unit: 64 << 10,
    // The webhook's timeout is 5 s.
    wait: Duration::from_secs(2),
    // The API server sends the body with the head.
    timeout: Duration::from_secs(5),
};

/// Answers the API server.
#[derive(Debug)]
pub(crate) struct Admission {
    pub(crate) sidecar: Sidecar,
    pub(crate) native_sidecar: NativeSidecar,
    pub(crate) events: mpsc::Sender<OwnerEvent>,
    pub(crate) metrics: Metrics,
    /// Any client of the port can send requests that are rejected.
    pub(crate) rejection_log: LogLimiter,
    pub(crate) stop: Shutdown,
}

/// Why a request is rejected.
#[derive(Debug, Error)]
enum RequestError {
    #[error("the path must be {PATH}")]
    Path,
    #[error("the method must be POST")]
    Method,
    #[error("not ready: the version of Kubernetes is not known yet")]
    NotReady,
    #[error(transparent)]
    Body(#[from] BodyError),
    #[error(transparent)]
    Review(#[from] InvalidReview),
}

impl RequestError {
    fn status(&self) -> StatusCode {
        match self {
            Self::Path => StatusCode::NOT_FOUND,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::NotReady => StatusCode::SERVICE_UNAVAILABLE,
            Self::Body(error) => error.status(),
            Self::Review(_) => StatusCode::BAD_REQUEST,
        }
    }

    fn rejection(&self) -> Rejection {
        match self {
            Self::Path => Rejection::NotFound,
            Self::Method => Rejection::MethodNotAllowed,
            Self::NotReady => Rejection::NotReady,
            Self::Body(BodyError::AddressBusy | BodyError::Busy) => Rejection::Busy,
            Self::Body(BodyError::TooLarge(_)) => Rejection::TooLarge,
            Self::Body(BodyError::Timeout(_)) => Rejection::BodyTimeout,
            Self::Body(BodyError::Incomplete(_)) | Self::Review(_) => Rejection::InvalidBody,
        }
    }
}

impl Admission {
    /// Responds to one request.
    pub(crate) async fn respond(
        self: Arc<Self>,
        budget: AddressBudget,
        request: Request<Incoming>,
    ) -> Result<Reply, Infallible> {
        let mut reply = self.review(&budget, request).await.unwrap_or_else(|error| {
            self.metrics.rejected_requests.increment(error.rejection());
            let chain = chain(&error);
            if let Some(left_out) = self.rejection_log.allow(Instant::now()) {
                tracing::warn!(error = %chain, left_out, "request rejected");
            }
            reject(error.status(), chain)
        });
        if self.stop.is_cancelled() {
            // Otherwise the API server could send its next review just when the server closes the connection.
            let close = HeaderValue::from_static("close");
            reply.headers_mut().insert(CONNECTION, close);
        }
        Ok(reply)
    }

    async fn review(
        &self,
        budget: &AddressBudget,
        request: Request<Incoming>,
    ) -> Result<Reply, RequestError> {
        if request.uri().path() != PATH {
            return Err(RequestError::Path);
        }
        if request.method() != Method::POST {
            return Err(RequestError::Method);
        }
        let native_sidecar = self.native_sidecar.get().ok_or(RequestError::NotReady)?;
        let (body, _reservation) = budget.read(request.into_body()).await?;
        let admitted = admit(&body, &self.sidecar, *native_sidecar)?;
        let reason = admitted.reason;
        self.metrics.reviewed(admitted.container.is_some(), reason);
        match admitted.container {
            Some(container) => tracing::debug!(%container, reason, "pod injected"),
            None => tracing::debug!(reason, "pod skipped"),
        }
        if let Some(event) = admitted.event
            && self.events.try_send(event).is_err()
        {
            // The API server waits for the response, and pods can be created faster than events are written.
            self.metrics.event_writes.increment(EventWrite::Dropped);
        }
        Ok(json(StatusCode::OK, admitted.body))
    }
}
