//! Takes readings: `POST /v1/readings`, capped, timed, each way to end counted.

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::{Bytes, Incoming};
use hyper::header::{CONNECTION, HeaderValue, RETRY_AFTER};
use hyper::{Method, Request, StatusCode};
use pushscale_daemon::body::{self, BodyError};
use pushscale_daemon::readiness::Readiness;
use pushscale_daemon::reply::{Reply, json};
use pushscale_decision::Rejection;
use pushscale_protocol::{ErrorBody, MAX_BODY_BYTES, PUSH_PATH, ParseError, Push};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout};

use crate::event::{Event, Pushed, Verdict};
use crate::gate::{Caller, Gate, Turned};
use crate::metrics::{Metrics, ReadingOutcome};
use crate::neutral::untimed;

/// How long a body may take. A sidecar's is there with its head.
const BODY_TIMEOUT: Duration = Duration::from_secs(5);

/// How long the loop may take. It answers in microseconds unless it is stuck, and then nothing helps.
const LOOP_TIMEOUT: Duration = Duration::from_secs(5);

/// Takes readings for the loop.
pub(crate) struct Ingest {
    pub(crate) gate: Arc<Gate>,
    pub(crate) events: mpsc::Sender<Event>,
    pub(crate) readiness: Readiness,
    pub(crate) metrics: Metrics,
}

/// Why a push was not taken.
struct Refused {
    status: StatusCode,
    outcome: ReadingOutcome,
    error: String,
}

impl Ingest {
    /// Answers one request from this address.
    pub(crate) async fn answer(
        self: Arc<Self>,
        from: IpAddr,
        request: Request<Incoming>,
    ) -> Result<Reply, Infallible> {
        let taken = self.take(from, request).await;
        Ok(match taken {
            Ok(()) => {
                self.metrics.reading(ReadingOutcome::Taken);
                json(StatusCode::OK, Bytes::from_static(b"{}"))
            }
            Err(refused) => {
                self.metrics.reading(refused.outcome);
                refused.reply()
            }
        })
    }

    async fn take(&self, from: IpAddr, request: Request<Incoming>) -> Result<(), Refused> {
        if request.uri().path() != PUSH_PATH {
            return Err(refused(
                StatusCode::NOT_FOUND,
                ReadingOutcome::NotAPush,
                format!("readings go to {PUSH_PATH}"),
            ));
        }
        if request.method() != Method::POST {
            return Err(refused(
                StatusCode::METHOD_NOT_ALLOWED,
                ReadingOutcome::NotAPush,
                "only POST".to_owned(),
            ));
        }
        if !self.readiness.is_ready() {
            return Err(refused(
                StatusCode::SERVICE_UNAVAILABLE,
                ReadingOutcome::NotReady,
                "not ready yet: the PushScalers are not known".to_owned(),
            ));
        }
        let caller = self
            .gate
            .admit(request.headers(), from)
            .await
            .map_err(turned)?;
        let body = whole_body(request).await?;
        let received = Instant::now();
        let push = Push::parse(&body).map_err(|error| {
            let outcome = match error {
                ParseError::Shape(_) => ReadingOutcome::Malformed,
                ParseError::Version(_) => ReadingOutcome::UnknownVersion,
                ParseError::Value { .. } => ReadingOutcome::BadValue,
            };
            refused(StatusCode::BAD_REQUEST, outcome, error.to_string())
        })?;
        if let Caller::Pod(known) = &caller
            && (push.pod.uid != known.uid.as_str()
                || push.pod.name != known.name
                || push.pod.namespace != known.namespace)
        {
            return Err(refused(
                StatusCode::FORBIDDEN,
                ReadingOutcome::OtherPod,
                format!(
                    "the token is that of pod {}/{}: a pod reports only for itself",
                    known.namespace, known.name
                ),
            ));
        }
        let (verdict, told) = oneshot::channel();
        let pushed = Pushed {
            namespace: push.pod.namespace.to_string(),
            name: push.pod.name.to_string(),
            uid: push.pod.uid.to_string().into(),
            received,
            reading: untimed(&push),
            verdict,
        };
        self.events
            .try_send(Event::Pushed(Box::new(pushed)))
            .map_err(|error| match error {
                mpsc::error::TrySendError::Full(_) => busy(),
                mpsc::error::TrySendError::Closed(_) => stopping(),
            })?;
        match timeout(LOOP_TIMEOUT, told).await {
            Ok(Ok(verdict)) => judge(verdict),
            Ok(Err(_)) => Err(stopping()),
            Err(_) => Err(busy()),
        }
    }
}

async fn whole_body(request: Request<Incoming>) -> Result<Bytes, Refused> {
    let whole = body::read(request.into_body(), MAX_BODY_BYTES, BODY_TIMEOUT).await;
    whole.map_err(|error| {
        let (outcome, told) = match error {
            BodyError::TooLarge(most) => (
                ReadingOutcome::TooLarge,
                format!("a push is at most {most} bytes"),
            ),
            BodyError::Incomplete(_) => (ReadingOutcome::Malformed, error.to_string()),
            BodyError::Timeout(_) => (ReadingOutcome::SlowBody, error.to_string()),
        };
        refused(error.status(), outcome, told)
    })
}

fn turned(why: Turned) -> Refused {
    use ReadingOutcome as Outcome;
    const UNAUTHORIZED: StatusCode = StatusCode::UNAUTHORIZED;
    let (status, outcome) = match why {
        Turned::NoToken | Turned::NoClaims => (UNAUTHORIZED, Outcome::NoToken),
        Turned::OtherAudience => (UNAUTHORIZED, Outcome::OtherAudience),
        Turned::NotOfAPod => (UNAUTHORIZED, Outcome::TokenOfNoPod),
        Turned::Expired => (UNAUTHORIZED, Outcome::ExpiredToken),
        Turned::GonePod => (UNAUTHORIZED, Outcome::TokenOfGonePod),
        Turned::Denied => (UNAUTHORIZED, Outcome::DeniedToken),
        Turned::NotReviewed => (StatusCode::SERVICE_UNAVAILABLE, Outcome::NotReviewed),
        Turned::TooManyDenied => (StatusCode::TOO_MANY_REQUESTS, Outcome::TooManyDenied),
        Turned::TooFast => (StatusCode::TOO_MANY_REQUESTS, Outcome::TooSoon),
    };
    refused(status, outcome, why.to_string())
}

fn judge(verdict: Verdict) -> Result<(), Refused> {
    Err(match verdict {
        Verdict::Taken => return Ok(()),
        Verdict::UnknownPod | Verdict::Refused(Rejection::UnknownPod) => refused(
            StatusCode::NOT_FOUND,
            ReadingOutcome::UnknownPod,
            "no PushScaler's target selects a pod of this uid".to_owned(),
        ),
        Verdict::OtherPod { name } => refused(
            StatusCode::FORBIDDEN,
            ReadingOutcome::OtherPod,
            format!("this uid is that of pod {name}: a pod reports only for itself"),
        ),
        Verdict::TooSoon => refused(
            StatusCode::TOO_MANY_REQUESTS,
            ReadingOutcome::TooSoon,
            "a pod pushes at most every 50 ms".to_owned(),
        ),
        Verdict::Refused(refusal) => {
            let outcome = match refusal {
                Rejection::UnknownPod => ReadingOutcome::UnknownPod,
                Rejection::Duplicate { .. } => ReadingOutcome::Duplicate,
                Rejection::OutOfOrder { .. } => ReadingOutcome::OutOfOrder,
                Rejection::ClockSkew { .. } => ReadingOutcome::ImpossibleClock,
            };
            refused(StatusCode::CONFLICT, outcome, refusal.to_string())
        }
    })
}

fn busy() -> Refused {
    refused(
        StatusCode::TOO_MANY_REQUESTS,
        ReadingOutcome::Busy,
        "busy: try again in a second".to_owned(),
    )
}

fn stopping() -> Refused {
    refused(
        StatusCode::SERVICE_UNAVAILABLE,
        ReadingOutcome::NotReady,
        "stopping".to_owned(),
    )
}

fn refused(status: StatusCode, outcome: ReadingOutcome, error: String) -> Refused {
    Refused {
        status,
        outcome,
        error,
    }
}

impl Refused {
    fn reply(self) -> Reply {
        let body = serde_json::to_vec(&ErrorBody { error: self.error }).unwrap_or_default();
        let mut reply = json(self.status, body);
        if matches!(
            self.status,
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE
        ) {
            reply
                .headers_mut()
                .insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        if matches!(
            self.status,
            StatusCode::UNAUTHORIZED | StatusCode::PAYLOAD_TOO_LARGE | StatusCode::REQUEST_TIMEOUT
        ) {
            // What is left of the body is not read.
            reply
                .headers_mut()
                .insert(CONNECTION, HeaderValue::from_static("close"));
        }
        reply
    }
}
