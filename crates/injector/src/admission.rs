//! `POST /inject`: capped, timed, each way to end counted.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::{Bytes, Incoming};
use hyper::header::{CONNECTION, HeaderValue};
use hyper::{Method, Request, StatusCode};
use pushscale_daemon::body::{self, BodyError};
use pushscale_daemon::reply::{Reply, json, text};
use tokio::sync::mpsc;

use crate::admit::{Telling, admit};
use crate::facts::Sidecar;
use crate::metrics::Metrics;
use crate::native::Native;

/// The path that the webhook's configuration names.
pub const PATH: &str = "/inject";

/// The API server's own limit for what is sent to it.
const MAX_BODY_BYTES: usize = 3 << 20;

/// How long a body may take. The API server's is there with its head.
const BODY_TIMEOUT: Duration = Duration::from_secs(5);

/// Answers the API server.
#[derive(Debug)]
pub(crate) struct Admission {
    pub(crate) sidecar: Sidecar,
    pub(crate) native: Native,
    pub(crate) tellings: mpsc::Sender<Telling>,
    pub(crate) metrics: Metrics,
}

/// Why a request was not answered as a question.
struct Refused {
    status: StatusCode,
    outcome: &'static str,
    error: String,
}

impl Admission {
    /// Answers one request.
    pub(crate) async fn answer(
        self: Arc<Self>,
        request: Request<Incoming>,
    ) -> Result<Reply, Infallible> {
        Ok(match self.admitted(request).await {
            Ok(body) => json(StatusCode::OK, body),
            Err(refused) => {
                self.metrics.refused(refused.outcome);
                tracing::warn!(
                    outcome = refused.outcome,
                    error = refused.error,
                    "a request was refused"
                );
                let mut reply = text(refused.status, format!("{}\n", refused.error));
                if matches!(
                    refused.status,
                    StatusCode::PAYLOAD_TOO_LARGE | StatusCode::REQUEST_TIMEOUT
                ) {
                    // What is left of the body is not read.
                    reply
                        .headers_mut()
                        .insert(CONNECTION, HeaderValue::from_static("close"));
                }
                reply
            }
        })
    }

    async fn admitted(&self, request: Request<Incoming>) -> Result<Vec<u8>, Refused> {
        if request.uri().path() != PATH {
            let error = format!("pods are injected at {PATH}");
            return Err(refused(StatusCode::NOT_FOUND, "NotAQuestion", error));
        }
        if request.method() != Method::POST {
            let error = "only POST".to_owned();
            return Err(refused(
                StatusCode::METHOD_NOT_ALLOWED,
                "NotAQuestion",
                error,
            ));
        }
        let Some(&native) = self.native.get() else {
            let error = "not ready yet: Kubernetes' version is not known".to_owned();
            return Err(refused(StatusCode::SERVICE_UNAVAILABLE, "NotReady", error));
        };
        let body = whole_body(request).await?;
        let admitted = admit(&body, &self.sidecar, native)
            .map_err(|error| refused(StatusCode::BAD_REQUEST, "Malformed", error.to_string()))?;
        self.metrics.pod(admitted.count);
        tracing::debug!(
            outcome = admitted.count.outcome,
            reason = admitted.count.reason,
            "a pod was let in"
        );
        if let Some(telling) = admitted.telling
            && self.tellings.try_send(telling).is_err()
        {
            // The API server waits for the answer, and events are slower than pods can be.
            self.metrics.event("Dropped");
        }
        Ok(admitted.body)
    }
}

async fn whole_body(request: Request<Incoming>) -> Result<Bytes, Refused> {
    let whole = body::read(request.into_body(), MAX_BODY_BYTES, BODY_TIMEOUT).await;
    whole.map_err(|error| {
        let (outcome, told) = match error {
            BodyError::TooLarge(most) => (
                "TooLarge",
                format!("an AdmissionReview is at most {most} bytes"),
            ),
            BodyError::Incomplete(_) => ("Malformed", error.to_string()),
            BodyError::Timeout(_) => ("SlowBody", error.to_string()),
        };
        refused(error.status(), outcome, told)
    })
}

fn refused(status: StatusCode, outcome: &'static str, error: String) -> Refused {
    Refused {
        status,
        outcome,
        error,
    }
}
