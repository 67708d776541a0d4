//! What is asked of the queue model, and what it answers.

use std::time::Duration;

use crate::moment::Moment;
use crate::policy::{Balancing, Metric};

/// What a plan is made for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Situation<'a> {
    pub(crate) now: Moment,
    /// Replicas in the target's spec.
    pub(crate) current: u32,
    /// The largest size.
    pub(crate) most: u32,
    pub(crate) metric: &'a Metric,
    pub(crate) balancing: Balancing,
    /// How long a pod takes to start, in seconds.
    pub(crate) delay: f64,
    /// For how long the highest need is held, if the user says so.
    pub(crate) hold: Option<Duration>,
}

/// Pods that one model takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Plan {
    pub(crate) pods: u32,
    pub(crate) reason: PlanReason,
    /// An input is missing.
    pub(crate) incomplete: Option<Incomplete>,
    /// Requests arrive and none is answered.
    pub(crate) stuck: bool,
    /// No step goes beyond this, whatever the size was (docs/ALGORITHM.md, I3).
    pub(crate) up_to: u32,
    /// The server waits so long for a batch that the target cannot be kept, in seconds.
    pub(crate) batch_delay_above: Option<f64>,
}

/// What decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PlanReason {
    Demand,
    Backlog,
    Burst,
}

/// What is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Incomplete {
    /// Nobody counts answers.
    CompletionCountUnavailable,
    /// Fewer answers are timed than given.
    UntimedCompletions,
    /// Nobody tells how many workers there are.
    WorkerCountUnknown,
}

/// Why there is no plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoPlan {
    /// No pod that serves has a fresh reading.
    NobodyReports,
    /// Too little was seen yet.
    TooSoon,
    /// No request was timed yet, and the spec does not say how long one takes.
    NoServiceTime,
}

impl NoPlan {
    pub(crate) fn problem(self) -> &'static str {
        match self {
            Self::NobodyReports => "no pod that is ready has a fresh reading",
            Self::TooSoon => "observing: a rate takes 5 s to tell",
            Self::NoServiceTime => {
                "how long a request takes is not known: none was timed yet, or the server batches continuously (queueLatency.serviceTime may say)"
            }
        }
    }
}
