//! What became of one request.

use std::fmt;
use std::time::Duration;

/// One request as its client saw it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    /// When it left, in seconds from the start of the load.
    pub start_s: f64,
    /// From the departure to the last byte of the answer, or to the failure.
    pub latency: Duration,
    /// How it ended.
    pub outcome: Outcome,
}

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// A whole answer with this HTTP status.
    Status(u16),
    /// No whole answer in time.
    Timeout,
    /// Nobody listens.
    Refused,
    /// The connection ended before the answer did.
    Reset,
    /// The list of targets was empty.
    NoTarget,
    /// Too many were in flight, so it never left.
    NotSent,
    /// Out of sockets, no route, or an answer that is not HTTP/1.1 with a content-length.
    Other,
}

impl Outcome {
    /// Everything but an answer below 400.
    pub fn failed(self) -> bool {
        !matches!(self, Self::Status(status) if status < 400)
    }
}

impl Sample {
    /// It failed, or its user waited longer than `limit`.
    pub fn harmed(&self, limit: Duration) -> bool {
        self.outcome.failed() || self.latency > limit
    }
}

/// The word in CSV and JSON; the number of a status.
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
