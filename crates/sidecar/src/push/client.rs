//! Brings readings to one aggregator.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use backoff::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};
use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, StatusCode, Uri};
use pushscale_protocol::{ErrorBody, PUSH_PATH, PushResponse};
use tokio::sync::watch;

use super::token::Token;
use super::{PushConfig, Shared, Taken};
use crate::connection::{Connection, Limits, Peer};
use crate::metrics::PushOutcome;

/// An answer of an aggregator is a line.
const MAX_ANSWER_BYTES: usize = 4096;

/// The pauses after failures: 0.2 s doubling to 4 s, each with up to as much again at random, so that a fleet
/// does not come back in step. An aggregator that was away is told again within 8 s at the latest.
const RETRY: ExponentialBuilder = ExponentialBuilder::new()
    .with_min_delay(Duration::from_millis(200))
    .with_max_delay(Duration::from_secs(4))
    .without_max_times()
    .with_jitter();

pub(super) struct Courier {
    connection: Connection<SocketAddr>,
    address: SocketAddr,
    token: Option<Token>,
    shared: Shared,
    pauses: Option<ExponentialBackoff>,
    /// What the aggregator last said when it refused one.
    refused: Option<String>,
}

enum Delivered {
    /// It was taken, or it will never be: the next one is due when it comes.
    Done,
    /// Try again, with whatever is newest then.
    Failed,
}

impl Courier {
    /// Brings readings to `address`, which goes by `name`.
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
            bytes: MAX_ANSWER_BYTES,
        };
        let peer = config.authority.clone().map(|authority| Peer {
            name: name.to_owned(),
            authority,
        });
        Self {
            connection: Connection::new(address, host, limits).only_with(peer),
            address,
            token: config.token_file.clone().map(Token::in_file),
            shared,
            pauses: None,
            refused: None,
        }
    }

    pub(super) async fn run(mut self) {
        let mut readings = self.shared.newest.clone();
        // A courier that is new among others has a reading to bring already.
        readings.mark_changed();
        while readings.changed().await.is_ok() {
            self.deliver_newest(&mut readings).await;
        }
        // The sender is gone: the last word is in the channel, and each courier says it once.
        let last = readings.borrow_and_update().clone();
        if let Some(taken) = last.filter(|taken| taken.numbered.leaving) {
            self.deliver(&taken).await;
        }
    }

    async fn deliver_newest(&mut self, readings: &mut watch::Receiver<Option<Arc<Taken>>>) {
        loop {
            let newest = readings.borrow_and_update().clone();
            let Some(taken) = newest.filter(|taken| !taken.numbered.leaving) else {
                return;
            };
            match self.deliver(&taken).await {
                Delivered::Done => {
                    self.pauses = None;
                    return;
                }
                Delivered::Failed => {
                    let pauses = self.pauses.get_or_insert_with(|| RETRY.build());
                    let pause = pauses.next().unwrap_or(Duration::from_secs(4));
                    // Nobody waits for an aggregator that is away: neither the other couriers nor the end.
                    tokio::select! {
                        () = tokio::time::sleep(pause) => {}
                        () = gone(readings) => return,
                    }
                }
            }
        }
    }

    async fn deliver(&mut self, taken: &Taken) -> Delivered {
        let age = taken.at.elapsed().as_secs_f64();
        let push = self.shared.identity.push(&taken.numbered, age);
        let Ok(body) = serde_json::to_vec(&push) else {
            tracing::error!("a reading cannot be written as JSON");
            return Delivered::Done;
        };
        let mut request = Request::new(Full::new(Bytes::from(body)));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = Uri::from_static(PUSH_PATH);
        request
            .headers_mut()
            .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(token) = &mut self.token {
            match token.header() {
                Ok(header) => {
                    request.headers_mut().insert(AUTHORIZATION, header);
                }
                Err(problem) => {
                    self.note(PushOutcome::Unreachable, &problem);
                    return Delivered::Failed;
                }
            }
        }
        let answer = match self.connection.send(request).await {
            Ok(answer) => answer,
            Err(failure) => {
                self.note(PushOutcome::Unreachable, &failure.to_string());
                // A full channel means that somebody asked already.
                self.shared.lost.try_send(()).ok();
                return Delivered::Failed;
            }
        };
        match answer.status {
            StatusCode::OK => {
                self.shared.metrics.pushed(PushOutcome::Taken);
                self.refused = None;
                self.adopt_pace(&answer.body);
                Delivered::Done
            }
            // Busy or not ready yet: the same reading may be welcome soon.
            status if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
                self.note(PushOutcome::Busy, &said(&answer.body));
                Delivered::Failed
            }
            status => {
                if let Some(token) = self
                    .token
                    .as_mut()
                    .filter(|_| status == StatusCode::UNAUTHORIZED)
                {
                    token.doubt();
                }
                self.note_refused(format!("{status}: {}", said(&answer.body)));
                Delivered::Done
            }
        }
    }

    fn adopt_pace(&self, body: &[u8]) {
        let asked = serde_json::from_slice::<PushResponse>(body).unwrap_or_default();
        if let Some(seconds) = asked.interval_seconds {
            self.shared.pace.try_send(seconds).ok();
        }
    }

    /// Nothing mends itself here: somebody must read it, once.
    fn note_refused(&mut self, said: String) {
        self.shared.metrics.pushed(PushOutcome::Refused);
        if self.refused.as_ref() != Some(&said) {
            tracing::warn!(aggregator = %self.address, said, "a push was refused");
            self.refused = Some(said);
        }
    }

    fn note(&self, outcome: PushOutcome, error: &str) {
        self.shared.metrics.pushed(outcome);
        // The first failure of a row is news, the rest is noise: a line a second in a thousand pods.
        if self.pauses.is_none() {
            tracing::warn!(aggregator = %self.address, error, "a push failed, trying again");
        } else {
            tracing::debug!(aggregator = %self.address, error, "a push failed");
        }
    }
}

async fn gone(readings: &mut watch::Receiver<Option<Arc<Taken>>>) {
    while readings.changed().await.is_ok() {}
}

/// What the aggregator said, cut to a line's length.
fn said(body: &[u8]) -> String {
    let text = match serde_json::from_slice::<ErrorBody>(body) {
        Ok(body) => body.error,
        Err(_) => String::from_utf8_lossy(body).into_owned(),
    };
    text.chars().take(200).collect()
}
