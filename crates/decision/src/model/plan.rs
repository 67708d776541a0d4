//! The input and the output of the queueing model.

use std::time::Duration;

use crate::conditions::Reason;
use crate::moment::Moment;
use crate::policy::{Balancing, Metric, ViolationPrice};

use super::pod_balance::{OverloadedPod, SlowPod, UnevenLoad};
use super::wait_percentile::Estimate;

/// The input of a plan.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Situation<'a> {
    pub(crate) now: Moment,
    /// Replicas in the target's spec.
    pub(crate) current: u32,
    /// The smallest and the largest allowed replica count.
    pub(crate) min: u32,
    pub(crate) max: u32,
    pub(crate) metric: &'a Metric,
    pub(crate) balancing: Balancing,
    /// The start delay of a pod, in seconds.
    pub(crate) delay: f64,
    /// The hold, if the user configures one.
    pub(crate) hold: Option<Duration>,
    /// The price of a second in which requests wait too long.
    pub(crate) violation_price: ViolationPrice,
    /// Whether a slow pod can be replaced: replicas are written in both directions, and a scale-down deletes it first.
    pub(crate) replaces_slow: bool,
}

/// The pods that one model needs.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Plan {
    pub(crate) pods: u32,
    pub(crate) reason: PlanReason,
    /// The input that is missing, if any.
    pub(crate) incomplete: Option<Incomplete>,
    /// The estimated percentile of the wait, if the target applies to one.
    pub(crate) percentile: Option<Estimate>,
    /// Requests arrive and none completes.
    pub(crate) stuck: bool,
    /// The limit for one scale-up (docs/ALGORITHM-DETAILS.md, I3).
    pub(crate) up_to: u32,
    /// A pod that has been slow for a while.
    pub(crate) slow_pod: Option<SlowPod>,
    /// Idle pods, if the others are fewer than the need.
    pub(crate) uneven: Option<UnevenLoad>,
    /// A pod that gets more requests than it can serve, although the pods together could serve all.
    pub(crate) overloaded: Option<OverloadedPod>,
    /// The arrival rate before the arrivals stopped at all pods at once, and the one since, in requests per second.
    pub(crate) vanished: Option<(f64, f64)>,
    /// The measured over the predicted waits, if the fleet is outside of the envelope.
    pub(crate) outside: Option<f64>,
    /// The batch delay in seconds, if it exceeds the target latency.
    pub(crate) batch_delay_above: Option<f64>,
}

impl Plan {
    /// Returns a plan of `pods` for an arrival rate about which nothing else is known.
    pub(super) fn of(pods: u32) -> Self {
        Self {
            pods,
            reason: PlanReason::Demand,
            incomplete: None,
            percentile: None,
            stuck: false,
            up_to: 0,
            slow_pod: None,
            uneven: None,
            overloaded: None,
            vanished: None,
            outside: None,
            batch_delay_above: None,
        }
    }
}

/// What determined the plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PlanReason {
    Demand,
    Backlog,
    RiseExpected,
}

/// A missing input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Incomplete {
    /// Completed requests are not counted.
    CompletionCountUnavailable,
    /// Fewer requests are timed than completed.
    UntimedCompletions,
    /// The number of workers is unknown.
    WorkerCountUnknown,
}

impl Incomplete {
    /// Returns the reason and the message of the condition.
    pub(crate) fn describe(self) -> (Reason, &'static str) {
        match self {
            Self::CompletionCountUnavailable => (
                Reason::CompletionCountUnavailable,
                "completed requests are not counted, only the queue latency guards the target: allow the sidecar to read the management port, with the annotation pushscale.dev/management-token-file if it requires a token, or pushscale.dev/scrape-interval if it takes longer than a second to respond",
            ),
            Self::UntimedCompletions => (
                Reason::UntimedCompletions,
                "the server times fewer requests than it completes (gRPC or failures): the service time is estimated from the share that it times and is less reliable",
            ),
            Self::WorkerCountUnknown => (
                Reason::WorkerCountUnknown,
                "the workers per pod are unknown: allow the sidecar to read the management port, with the annotation pushscale.dev/management-token-file if it requires a token, or set queueLatency.workers",
            ),
        }
    }
}

/// Why there is no plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoPlan {
    /// No ready pod has a fresh reading.
    NotReporting,
    /// The arrival rate has not been measured for long enough.
    TooSoon,
    /// No request was timed yet, and the spec sets no service time.
    NoServiceTime,
}

impl NoPlan {
    /// Returns the reason and the message of the condition if requests of the model arrive; `None` if the missing input
    /// arrives without an action of the user.
    pub(crate) fn describe(self) -> Option<(Reason, &'static str)> {
        (self == Self::NoServiceTime).then_some((
            Reason::ServiceTimeUnknown,
            "requests arrive and their service time is unknown, because all of them fail or the server batches continuously, and the fleet does not scale down: set queueLatency.serviceTime, or name the models to scale by in spec.metrics",
        ))
    }

    pub(crate) fn problem(self) -> &'static str {
        match self {
            Self::NotReporting => "no ready pod has a fresh reading",
            Self::TooSoon => "measuring the arrival rate takes 5 s",
            Self::NoServiceTime => {
                "the service time is unknown, no request was timed yet or the server batches continuously (see queueLatency.serviceTime)"
            }
        }
    }
}
