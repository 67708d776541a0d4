//! The ordered steps of a decision.

use std::sync::Arc;
use std::time::Duration;

use crate::latency::Latency;
use crate::limits::Limit;
use crate::policy::{Aggregate, Direction};

/// One line of the explanation of a decision.
///
/// `Display` renders it as `label: sentence`; the log, the status, the debug page and the command line all show that.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// The replica count and its bounds, before anything is computed.
    Current {
        /// Replicas in the target's spec.
        replicas: u32,
        /// `minReplicas`.
        min: u32,
        /// `maxReplicas`.
        max: u32,
    },
    /// The replica count was outside its bounds and is corrected without any reading.
    OutOfBounds {
        /// The nearest bound.
        to: u32,
    },
    /// Ratio: the pods by their state.
    PodGroups {
        /// With a fresh latency.
        reporting: u32,
        /// Running without one.
        not_reporting: u32,
        /// Not started yet.
        pending: u32,
        /// Terminating or failed: counted nowhere.
        ignored: u32,
    },
    /// A metric could not be computed.
    MetricFailed {
        /// The model, if the metric names one.
        model: Option<Arc<str>>,
        /// The cause.
        problem: &'static str,
    },
    /// Ratio: the aggregate over the pods that report.
    Average {
        /// The model, if the metric names one.
        model: Option<Arc<str>>,
        /// How the pods' latencies are combined.
        aggregate: Aggregate,
        /// The aggregated queue latency.
        latency: Latency,
        /// Pods that it covers.
        pods: u32,
        /// The target latency.
        target: Latency,
        /// `latency / target`.
        ratio: f64,
    },
    /// Ratio: the aggregate with values assumed for the other pods, which work against the direction of the change.
    Assumed {
        /// Pods that do not report, and the latency assumed for each.
        not_reporting: Option<(u32, Latency)>,
        /// Pending pods, assumed to have none.
        pending: u32,
        /// The aggregate with them.
        latency: Latency,
        /// Pods that it covers.
        pods: u32,
        /// `latency / target`.
        ratio: f64,
    },
    /// Ratio: the ratio is too close to 1 to act.
    WithinTolerance {
        /// The lower end, inclusive.
        low: f64,
        /// The upper end, inclusive.
        high: f64,
    },
    /// Ratio: the assumed values or the pod count contradict the direction of the change.
    Contradicted,
    /// Ratio: the proposal of a metric.
    Proposed {
        /// The ratio that was used.
        ratio: f64,
        /// The pods that it was multiplied by.
        pods: u32,
        /// The product, rounded up.
        replicas: u32,
    },
    /// The largest proposal of several metrics.
    Largest {
        /// The number of metrics.
        metrics: u32,
        /// The largest proposal.
        replicas: u32,
    },
    /// A model has no plan, so the demand may be higher than that of the other models.
    ModelWithoutPlan {
        /// The model.
        model: Arc<str>,
        /// The cause.
        problem: &'static str,
        /// The proposed replicas.
        replicas: u32,
    },
    /// Model: the second-largest proposal, if the metric covers several models.
    RunnerUp {
        /// The model.
        model: Arc<str>,
        /// Its proposal.
        replicas: u32,
    },
    /// Some models are not tracked, so the demand may be higher than the plan.
    TooManyModels {
        /// The proposed replicas.
        replicas: u32,
    },
    /// Too few pods report for a scale-down.
    NoQuorum {
        /// Running pods that report.
        reporting: u32,
        /// All running pods, and the unobserved ones.
        expected: u32,
        /// Pods that exist according to the target's status and have not been observed.
        unobserved: u32,
    },
    /// An earlier proposal within the stabilization window replaces the current one.
    Stabilized {
        /// The current proposal.
        proposed: u32,
        /// The earlier proposal.
        to: u32,
        /// The length of the window.
        window: Duration,
    },
    /// A limit reduced the change.
    Limited {
        /// The proposal.
        proposed: u32,
        /// The replicas that the limit allows.
        to: u32,
        /// The limit.
        cap: Limit,
    },
    /// Ratio: serving pods are kept while others are pending.
    KeptWhilePending {
        /// Pending pods.
        pending: u32,
        /// Serving pods.
        replicas: u32,
    },
    /// Model: the pods by their state.
    Pods {
        /// Pods that are ready.
        ready: u32,
        /// Ready pods with a fresh reading.
        reporting: u32,
        /// Pods that are not ready yet.
        starting: u32,
    },
    /// Model: the arrival rate of the fleet, in requests per second.
    Arrivals {
        /// The model, if the metric names one.
        model: Option<Arc<str>>,
        /// The rate that is used: the significant minimum if `window` is shorter than a minute.
        rate: f64,
        /// The window that it was measured in.
        window: Duration,
        /// The mean of the last minute.
        minute: f64,
    },
    /// Model: the extrapolated trend of the arrival rate.
    Trend {
        /// Requests per second.
        rate: f64,
        /// Time until then.
        ahead: Duration,
        /// Time until a pod ordered now is ready.
        start_delay: Duration,
        /// The factor over the current rate that limits the extrapolation, if it does.
        limit: Option<f64>,
    },
    /// Model: the capacity of one pod.
    Capacity {
        /// The service time.
        service: Duration,
        /// Requests that a pod processes in parallel.
        workers: u32,
        /// The utilisation that keeps the target latency, 0 to 1.
        utilisation: f64,
        /// The measured waits over those of the formula, by which it is corrected.
        calibration: f64,
        /// Whether all pods share one queue (`LeastRequest`).
        pooled: bool,
        /// The pods that share a queue as far as the measured percentile shows, if not all do.
        sharing: Option<f64>,
        /// The aggregate of the wait that the target applies to.
        aggregate: Aggregate,
        /// The target latency.
        target: Latency,
    },
    /// Model: the percentile of the wait, estimated from the queues of the pods.
    WaitPercentile {
        /// The aggregate of the wait that the target applies to.
        aggregate: Aggregate,
        /// The estimate.
        wait: Latency,
        /// The number of queues, one per pod and reading.
        samples: u32,
        /// The time that they cover.
        span: Duration,
    },
    /// Model: the queue of a pod is so short that planning for the wait alone would reject too many requests.
    QueueLimit {
        /// The requests that may wait in a pod.
        limit: u32,
        /// The utilisation at which a pod rejects one in a thousand requests, 0 to 1.
        utilisation: f64,
    },
    /// Model: the batches of a worker, for which requests wait.
    Batches {
        /// The maximum number of requests in a batch.
        size: u32,
        /// The service time of a single request.
        single: Duration,
        /// What each further one adds to it.
        growth: Duration,
    },
    /// Model: the slowest pods, with their own queues, need more pods than the mean would.
    SlowestPods {
        /// The number of these pods.
        pods: u32,
        /// The slowest of them.
        slowest: Arc<str>,
        /// Their service time over the mean.
        slowdown: f64,
        /// Whether as many pods are needed as keep them within the target; otherwise these would be too many.
        kept: bool,
    },
    /// Model: the pods that the arrival rate needs.
    Needed {
        /// Pods before rounding and head-room.
        pods: f64,
        /// The factor for head-room, at least 1.
        headroom: f64,
        /// Whole replicas with head-room.
        replicas: u32,
    },
    /// Model: an earlier need is held.
    Held {
        /// The highest need of the window.
        replicas: u32,
        /// The length of the window.
        window: Duration,
    },
    /// Model: the arrivals stopped at all pods at once, as in an outage above them, and the longest hold applies.
    DemandVanished {
        /// The arrival rate before, in requests per second.
        before: f64,
        /// The arrival rate that remains.
        now: f64,
    },
    /// Model: requests wait longer than the target and than the calibrated formula can explain. Scale-downs are only
    /// recommended.
    OutsideEnvelope {
        /// The measured over the predicted waits.
        ratio: f64,
    },
    /// Model: no request has arrived for a minute or longer.
    Idle,
    /// Model: the replicas found at the start are held.
    HeldAfterStart {
        /// The replicas at the start.
        replicas: u32,
        /// The duration of the hold.
        window: Duration,
    },
    /// Model: replicas for a backlog.
    Backlog {
        /// Requests beyond those of a steady fleet.
        waiting: f64,
        /// Pods that are starting.
        starting: u32,
        /// Replicas that work the backlog off.
        replicas: u32,
        /// What determines them.
        bound_by: BacklogBound,
    },
    /// Model: replicas for the load of the same time of an earlier hour, day or week.
    RiseExpected {
        /// The period, such as a day.
        period: Duration,
        /// The highest arrival rate until a pod that is ordered now is ready, in requests per second.
        rate: f64,
        /// Replicas for it.
        replicas: u32,
    },
    /// Model: serving pods are kept while requests wait.
    KeptWhileWaiting {
        /// How long requests wait.
        wait: Latency,
        /// The replicas that are kept.
        replicas: u32,
    },
    /// Model: pods that were ready are not, and are replaced.
    Lost {
        /// Pods that were ready.
        pods: u32,
        /// The replicas with their replacements.
        replicas: u32,
    },
    /// Model: one more pod replaces a slow one, which is deleted once that is ready.
    Replacement {
        /// The replicas until then.
        replicas: u32,
    },
    /// Model: a pod is much slower than the others, and does not count towards the fleet's service time and queues.
    SlowPod {
        /// The pod.
        pod: Arc<str>,
        /// The time of its requests over that of the other pods'; infinite if it completes none.
        factor: f64,
        /// The requests that wait in it.
        waiting: u32,
    },
    /// Model: a pod gets more requests than it can serve, although the pods together could serve all.
    OverloadedPod {
        /// The pod.
        pod: Arc<str>,
        /// Its arrival rate, in requests per second.
        rate: f64,
        /// The requests that wait in it.
        waiting: u32,
    },
    /// Model: no pod with batching was saturated yet, so it counts for fewer requests than it could process at once.
    BatchFill {
        /// The requests that count.
        slots: u32,
    },
    /// Model: pods get hardly any requests, and the others are fewer than the need.
    UnevenLoad {
        /// The idle pods.
        idle: u32,
        /// The ready pods.
        pods: u32,
        /// The replicas for a backlog that are not ordered, if there is one.
        unordered: Option<u32>,
    },
    /// Model: half of the pods or more do not become ready.
    Overdue {
        /// Pods that should be ready by now.
        pods: u32,
    },
    /// Model: requests arrive and none completes.
    Stuck {
        /// The replicas that are kept.
        replicas: u32,
    },
    /// Model: metrics are incomplete and requests wait too long.
    LatencyGuard {
        /// How long requests wait.
        wait: Latency,
        /// Twice the current replicas.
        replicas: u32,
    },
    /// No metric could be computed for so long that the fallback applies.
    Fallback {
        /// Time since the last metric.
        unknown_for: Duration,
        /// The minimum.
        replicas: u32,
    },
    /// A schedule raises the minimum.
    ScheduledFloor {
        /// The minimum.
        replicas: u32,
    },
    /// The direction of the change is paused.
    Paused {
        /// The direction.
        direction: Direction,
        /// The replicas that are not written.
        to: u32,
    },
}

/// What determines the replicas for a backlog.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BacklogBound {
    /// They work the backlog off in time.
    #[default]
    DrainTime,
    /// Starting more pods would cost more than the violations that they avoid.
    StartCost,
    /// The limit of one order, as a multiple of the need.
    MaxOrder,
    /// They were ordered for an earlier backlog, and are kept until they could have served.
    EarlierOrder,
}
