//! The ordered steps of a decision.

use std::sync::Arc;
use std::time::Duration;

use crate::latency::Latency;
use crate::limits::Limit;
use crate::policy::{Aggregate, Direction};

/// One step on the way from facts to a number of replicas. `Display` is its sentence: the log, the status,
/// the debug page and the command line all show that one.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Where it began.
    Size {
        /// Replicas in the target's spec.
        current: u32,
        /// `minReplicas`.
        min: u32,
        /// `maxReplicas`.
        max: u32,
    },
    /// The size was outside its bounds; no reading is needed to mend that.
    Corrected {
        /// The bound.
        to: u32,
    },
    /// How the pods sort.
    Pods {
        /// With a fresh latency.
        reporting: u32,
        /// Running without one.
        silent: u32,
        /// Not started yet.
        pending: u32,
        /// Deleting, leaving or failed: counted nowhere.
        ignored: u32,
    },
    /// A metric could not be computed.
    MetricFailed {
        /// The model, if the metric names one.
        model: Option<Arc<str>>,
        /// Why.
        problem: &'static str,
    },
    /// The average over the pods that report.
    Average {
        /// The model, if the metric names one.
        model: Option<Arc<str>>,
        /// Which one: the mean, or another.
        aggregate: Aggregate,
        /// That queue latency.
        mean: Latency,
        /// Over so many pods.
        pods: u32,
        /// What it should be.
        target: Latency,
        /// `mean / target`.
        ratio: f64,
    },
    /// The average again, with silent and pending pods assumed unhelpful in the direction of travel.
    Refilled {
        /// Silent pods counted, and the latency each was given.
        silent: Option<(u32, Latency)>,
        /// Pending pods counted as zero.
        pending: u32,
        /// The mean with them.
        mean: Latency,
        /// Over so many pods.
        pods: u32,
        /// `mean / target`.
        ratio: f64,
    },
    /// Too near to 1 to act.
    WithinTolerance {
        /// The lower end, inside.
        low: f64,
        /// The upper end, inside.
        high: f64,
    },
    /// With silent and pending pods counted, the ratio or the count contradicts the direction.
    Contradicted,
    /// What the metric asks for.
    Proposed {
        /// The ratio that counted.
        ratio: f64,
        /// Times so many pods.
        pods: u32,
        /// Rounded up.
        replicas: u32,
    },
    /// The metric that asks for most wins.
    Largest {
        /// Of so many metrics.
        metrics: u32,
        /// Its proposal.
        replicas: u32,
    },
    /// Too few pods report to go down.
    NoQuorum {
        /// Running pods that report.
        reporting: u32,
        /// All running pods.
        running: u32,
    },
    /// An earlier proposal, still in its window, holds the size.
    Stabilized {
        /// What was proposed now.
        proposed: u32,
        /// What holds.
        to: u32,
        /// Of how long ago proposals are looked at.
        window: Duration,
    },
    /// A limit cut the change.
    Limited {
        /// What was wanted.
        wanted: u32,
        /// What is allowed.
        to: u32,
        /// By which limit.
        cap: Limit,
    },
    /// Ratio: pods that serve are not let go while others are on their way.
    ServingKept {
        /// Pods on their way.
        pending: u32,
        /// Pods that serve.
        replicas: u32,
    },
    /// Model: the pods that requests go to.
    Serving {
        /// Pods that are ready.
        ready: u32,
        /// Of these, with a fresh reading.
        reporting: u32,
        /// Pods on their way.
        starting: u32,
    },
    /// Model: the rate of arrivals, per second over the whole fleet.
    Demand {
        /// The model, if the metric names one.
        model: Option<Arc<str>>,
        /// At least this, beyond doubt.
        rate: f64,
        /// Seen in so much time.
        seen_in: Duration,
        /// The mean of the last minute.
        slow: f64,
    },
    /// Model: where the trend leads.
    Trend {
        /// Arrivals a second …
        rate: f64,
        /// … when pods ordered now are ready.
        ahead: Duration,
    },
    /// Model: what one pod can do.
    Capacity {
        /// How long a worker takes for a request.
        service: Duration,
        /// Requests that a pod works on at a time.
        slots: u32,
        /// How busy it may be, 0 to 1.
        busy: f64,
        /// One queue before all pods.
        pooled: bool,
        /// So that requests wait no longer than this.
        target: Latency,
    },
    /// Model: what the demand takes.
    Needed {
        /// In fractions of a pod.
        pods: f64,
        /// Times this.
        headroom: f64,
        /// In whole ones.
        replicas: u32,
    },
    /// Model: what was needed lately is kept.
    Held {
        /// So many.
        replicas: u32,
        /// Of the last while.
        window: Duration,
    },
    /// Model: no request has come for long.
    Idle,
    /// Model: what was found at the start is kept.
    HeldAtFirst {
        /// So many.
        replicas: u32,
        /// For this long.
        window: Duration,
    },
    /// Model: requests have piled up.
    Backlog {
        /// Requests beyond what a steady fleet holds.
        waiting: f64,
        /// Pods on their way.
        starting: u32,
        /// What it takes.
        replicas: u32,
    },
    /// Model: a burst that comes regularly is due.
    BurstDue {
        /// How often it comes.
        every: Duration,
        /// In so many seconds; negative: since so many.
        within: f64,
        /// What it takes.
        replicas: u32,
    },
    /// Model: nothing that serves goes while requests wait.
    KeptWhileWaiting {
        /// How long they wait.
        wait: Latency,
        /// So many serve.
        replicas: u32,
    },
    /// Model: half of the pods do not become ready.
    NotReady {
        /// So many are overdue.
        overdue: u32,
    },
    /// Model: requests arrive and none is answered.
    Stuck {
        /// The size that is kept.
        replicas: u32,
    },
    /// Model: an input is missing and requests wait too long.
    Guard {
        /// How long.
        wait: Latency,
        /// Twice the size.
        replicas: u32,
    },
    /// Nothing has been known for so long that the fallback holds.
    Fallback {
        /// For how long.
        unknown_for: Duration,
        /// At least so many.
        replicas: u32,
    },
    /// A schedule asks for at least so many.
    Scheduled {
        /// So many.
        replicas: u32,
    },
    /// This direction is paused.
    Paused {
        /// Which.
        direction: Direction,
        /// The size that was wanted.
        wanted: u32,
    },
}
