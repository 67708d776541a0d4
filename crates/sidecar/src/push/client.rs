//! The client of one aggregator address.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use backoff::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};
use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, StatusCode, Uri};
use pushscale_daemon::error::chain;
use pushscale_protocol::{ErrorBody, PUSH_PATH, PushResponse};
use tokio::sync::watch;

use super::failures::Failures;
use super::shared::{PushConfig, Shared, closed};
use super::token::Token;
use crate::connection::{Connection, Limits, Peer};
use crate::identity::SequencedReading;
use crate::metrics::PushOutcome;

/// The maximum size of an aggregator's response.
const MAX_RESPONSE_BYTES: usize = 4096;

/// The backoff after failures: 0.2 s doubling to 4 s, plus up to 100% jitter, so that a fleet does not retry in step.
/// An aggregator that recovers gets a push within 8 s.
const BACKOFF: ExponentialBuilder = ExponentialBuilder::new()
    .with_min_delay(Duration::from_millis(200))
    .with_max_delay(Duration::from_secs(4))
    .without_max_times()
    .with_jitter();

pub(super) struct PushClient {
    connection: Connection<SocketAddr>,
    address: SocketAddr,
    token: Option<Token>,
    /// The token that the aggregator remembers for the open connection.
    remembered: Option<HeaderValue>,
    shared: Shared,
    backoff: Option<ExponentialBackoff>,
    failures: Failures,
}

enum Pushed {
    /// Accepted, or rejected in a way that a retry does not change.
    Done,
    /// To be retried with the newest reading.
    Failed,
}

impl PushClient {
    /// Creates a client of `address`, to which the name `name` resolved.
    pub(super) fn new(
        address: SocketAddr,
        name: &str,
        config: &PushConfig,
        shared: Shared,
    ) -> Self {
        let host = HeaderValue::from_str(&address.to_string())
            .unwrap_or_else(|_| HeaderValue::from_static("aggregator"));
        let limits = Limits {
            time: config.timeout,
            bytes: MAX_RESPONSE_BYTES,
        };
        let peer = config.ca_bundle.clone().map(|ca_bundle| Peer {
            name: name.to_owned(),
            ca_bundle,
        });
        Self {
            connection: Connection::new(address, host, limits).with_peer(peer),
            address,
            token: config.token_file.clone().map(Token::in_file),
            remembered: None,
            shared,
            backoff: None,
            failures: Failures::default(),
        }
    }

    pub(super) async fn run(mut self) {
        let mut readings = self.shared.newest.clone();
        // A client that is added later pushes the current reading at once.
        readings.mark_changed();
        while readings.changed().await.is_ok() {
            self.push_newest(&mut readings).await;
        }
        // The sender is dropped after the last reading, which every client pushes once.
        let last = readings.borrow_and_update().clone();
        if let Some(last) = last.filter(|last| last.terminating) {
            self.push(&last).await;
        }
    }

    async fn push_newest(&mut self, readings: &mut watch::Receiver<Option<Arc<SequencedReading>>>) {
        loop {
            let newest = readings.borrow_and_update().clone();
            let Some(newest) = newest.filter(|newest| !newest.terminating) else {
                return;
            };
            match self.push(&newest).await {
                Pushed::Done => {
                    self.backoff = None;
                    return;
                }
                Pushed::Failed => {
                    let backoff = self.backoff.get_or_insert_with(|| BACKOFF.build());
                    let pause = backoff.next().unwrap_or(Duration::from_secs(4));
                    // Shutdown does not wait for the backoff.
                    tokio::select! {
                        () = tokio::time::sleep(pause) => {}
                        () = closed(readings) => return,
                    }
                }
            }
        }
    }

    async fn push(&mut self, reading: &SequencedReading) -> Pushed {
        let body = match serde_json::to_vec(&self.shared.identity.push(reading)) {
            Ok(body) => body,
            Err(error) => {
                tracing::error!(%error, "failed to encode the reading");
                return Pushed::Done;
            }
        };
        let body = Bytes::from(body);
        let token = match self.token.as_mut().map(Token::header).transpose() {
            Ok(token) => token,
            Err(error) => {
                self.record_failure(PushOutcome::Unreachable, &chain(&error).to_string());
                return Pushed::Failed;
            }
        };
        let omitted = token.is_some() && token == self.remembered;
        let build = |is_first: bool| {
            let sent = token.clone().filter(|_| is_first || !omitted);
            request(body.clone(), sent)
        };
        let mut response = self.connection.send_with(build).await;
        // The token has expired, or its review was evicted.
        if omitted
            && matches!(&response, Ok(response) if response.status == StatusCode::UNAUTHORIZED)
        {
            let again = request(body, token.clone());
            response = self.connection.send(again).await;
        }
        self.remembered = None;
        let response = match response {
            Ok(response) => response,
            Err(error) => {
                self.record_failure(PushOutcome::Unreachable, &chain(&error).to_string());
                // If the channel is full, a resolution is already requested.
                self.shared.unreachable.try_send(()).ok();
                return Pushed::Failed;
            }
        };
        match response.status {
            StatusCode::OK => {
                self.shared.metrics.pushes.increment(PushOutcome::Accepted);
                self.failures.accepted();
                let response =
                    serde_json::from_slice::<PushResponse>(&response.body).unwrap_or_default();
                if response.token_remembered {
                    self.remembered = token;
                }
                let interval = response.interval_seconds;
                self.shared.requested.set(self.address, interval);
                Pushed::Done
            }
            // Overloaded or not ready yet: a retry may be accepted.
            status if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
                self.record_failure(PushOutcome::Unavailable, &error_of(&response.body));
                Pushed::Failed
            }
            status => {
                if let Some(token) = self
                    .token
                    .as_mut()
                    .filter(|_| status == StatusCode::UNAUTHORIZED)
                {
                    token.invalidate();
                }
                self.record_rejection(&format!("{status}: {}", error_of(&response.body)));
                Pushed::Done
            }
        }
    }

    fn record_rejection(&mut self, error: &str) {
        self.shared.metrics.pushes.increment(PushOutcome::Rejected);
        if self.failures.rejected(error) {
            tracing::warn!(aggregator = %self.address, error, "push rejected");
        } else {
            tracing::debug!(aggregator = %self.address, error, "push rejected");
        }
    }

    fn record_failure(&mut self, outcome: PushOutcome, error: &str) {
        self.shared.metrics.pushes.increment(outcome);
        if self.failures.failed() {
            tracing::warn!(aggregator = %self.address, error, "push failed, retrying");
        } else {
            tracing::debug!(aggregator = %self.address, error, "push failed");
        }
    }
}

fn request(body: Bytes, token: Option<HeaderValue>) -> Request<Full<Bytes>> {
    let mut request = Request::new(Full::new(body));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = Uri::from_static(PUSH_PATH);
    let headers = request.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some(token) = token {
        headers.insert(AUTHORIZATION, token);
    }
    request
}

/// Returns the error in an aggregator's response, shortened to a line.
fn error_of(body: &[u8]) -> String {
    let text = match serde_json::from_slice::<ErrorBody>(body) {
        Ok(body) => body.error,
        Err(_) => String::from_utf8_lossy(body).into_owned(),
    };
    text.chars().take(200).collect()
}
