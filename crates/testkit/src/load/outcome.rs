//! The outcome of a request.

use std::fmt;
use std::time::Duration;

/// One request as its client saw it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    /// The departure, in seconds since the start of the load.
    pub start_s: f64,
    /// The time from departure to the last byte of the response, or to the failure.
    pub latency: Duration,
    /// The outcome.
    pub outcome: Outcome,
}

/// The outcome of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// A complete response with this HTTP status.
    Status(u16),
    /// No complete response before the timeout.
    Timeout,
    /// The connection was refused.
    Refused,
    /// The connection ended before the response was complete.
    Reset,
    /// The list of targets was empty.
    NoTarget,
    /// The request was not sent, because too many were in flight.
    NotSent,
    /// No free socket, no route, or a response that is not HTTP/1.1 with a content-length.
    Other,
}

impl Outcome {
    /// Returns whether the outcome is anything but a response with a status below 400.
    pub fn failed(self) -> bool {
        !matches!(self, Self::Status(status) if status < 400)
    }
}

impl Sample {
    /// Returns whether the request failed or took longer than `limit`.
    pub fn is_bad(&self, limit: Duration) -> bool {
        self.outcome.failed() || self.latency > limit
    }
}

/// Writes the word that CSV and JSON use; for a status, its number.
impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Status(status) => return status.fmt(f),
            Self::Timeout => "timeout",
            Self::Refused => "refused",
            Self::Reset => "reset",
            Self::NoTarget => "no-target",
            Self::NotSent => "not-sent",
            Self::Other => "other",
        })
    }
}
