//! A request from its arrival to its response.

use std::time::Duration;

use serde::Deserialize;
use tokio::sync::oneshot;
use tokio::time::Instant;

/// A queued or in-flight request.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) arrived: Instant,
    pub(super) options: HandlerOptions,
    pub(super) origin: Origin,
}

/// The protocol of a request, which determines the counters that include it.
#[derive(Debug)]
pub(super) enum Origin {
    /// An HTTP request. `version` is the label, which is the version in the request's URL.
    Rest {
        version_label: String,
        reply: oneshot::Sender<Outcome>,
    },
    /// A gRPC request. It counts on arrival, but not in the latency counters.
    Grpc,
}

/// How the worker finished the request.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Outcome {
    Done { slept: Duration, batch: usize },
    HandlerFailed,
    WorkerDied,
}

/// The options of the sleepy handler in the body of a request.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(super) struct HandlerOptions {
    pub(super) sleep_ms: Option<f64>,
    pub(super) fail: Option<Failure>,
}

#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Failure {
    Exception,
    Exit,
}

impl HandlerOptions {
    /// Parses the body. Anything but a JSON object asks for nothing, like in the handler.
    pub(super) fn from_body(body: &[u8]) -> Self {
        // serde would accept an array as the fields in order.
        if !body.trim_ascii_start().starts_with(b"{") {
            return Self::default();
        }
        serde_json::from_slice(body).unwrap_or_default()
    }

    pub(super) fn sleep(&self) -> Option<Duration> {
        Duration::try_from_secs_f64(self.sleep_ms? / 1000.0).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_may_ask_for_its_own_time_or_for_a_failure() {
        let options = HandlerOptions::from_body(br#"{"sleep_ms": 250, "other": [1]}"#);
        assert_eq!(options.sleep(), Some(Duration::from_millis(250)));
        let options = HandlerOptions::from_body(br#"{"fail": "exit"}"#);
        assert_eq!(options.fail, Some(Failure::Exit));
        for body in ["", "null", "[1]", "no json", r#"{"sleep_ms": -1}"#] {
            assert_eq!(
                HandlerOptions::from_body(body.as_bytes()).sleep(),
                None,
                "{body}"
            );
        }
    }
}
