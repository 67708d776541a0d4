//! The aggregator's own metrics. Every outcome has its own counter.

mod live;
mod scalers;
mod watches;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use pushscale_daemon::http_server::ConnectionRejection;
use pushscale_daemon::labeled_counter::{LabeledCounter, label_value};
use pushscale_daemon::registration::Registration;
use tokio::time::Instant;

use crate::names::ScalerKey;
use crate::scale_target::MarkResult;
pub(crate) use live::LiveValues;
pub(crate) use scalers::ScalerSample;
use scalers::{MAX_SCALERS, ScalerMetrics};
pub(crate) use watches::WatchMetric;
use watches::WatchMetrics;

const PREFIX: &str = "pushscale_aggregator";

/// Buckets of what takes milliseconds to seconds.
const SECONDS: [f64; 11] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

/// Buckets of what takes microseconds to milliseconds, and longer only if something is wrong.
const SHORT_SECONDS: [f64; 10] = [0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0];

/// The aggregator's own metrics. Clones share their counts.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    pub(crate) pushes: LabeledCounter<PushOutcome>,
    pub(crate) rejected_connections: LabeledCounter<ConnectionRejection>,
    pub(crate) token_reviews: LabeledCounter<ReviewOutcome>,
    decisions: LabeledCounter<DecisionOutcome>,
    scale_writes: LabeledCounter<ScaleWriteOutcome>,
    deletion_costs: LabeledCounter<DeletionCostOutcome>,
    pub(crate) status_writes: LabeledCounter<WriteOutcome>,
    pub(crate) event_writes: LabeledCounter<WriteOutcome>,
    dropped_reports: Counter,
    pub(crate) dropped_history_records: Counter,
    load_history: Gauge,
    leader: Gauge,
    scalers: Gauge,
    pods: Gauge,
    reaction: Histogram,
    turns: Histogram,
    api_requests: Family<ApiRequestLabels, Histogram, fn() -> Histogram>,
    external_metrics: Family<ExternalMetricLabels, Histogram, fn() -> Histogram>,
    watches: WatchMetrics,
    /// `None` if the setting is off.
    scaler_metrics: Option<Arc<ScalerMetrics>>,
    scalers_without_metrics: Gauge,
    shortest_interval: Gauge<f64, AtomicU64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ApiRequestLabels {
    request: String,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ExternalMetricLabels {
    outcome: &'static str,
}

/// A request to the API server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ApiRequest {
    ScaleRead,
    ScaleWrite,
    StatusWrite,
    EventWrite,
    CheckpointRead,
    CheckpointWrite,
    TokenReview,
    Lease,
}

/// The outcome of a push.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum PushOutcome {
    /// 200.
    Accepted,
    /// 400: not a push message.
    InvalidBody,
    /// 400: unsupported message version.
    UnsupportedVersion,
    /// 400: a value is out of range.
    ValueOutOfRange,
    /// 401: no token, or not a service account token.
    TokenMissing,
    /// 401: token for another audience.
    WrongAudience,
    /// 401: token not bound to a pod.
    TokenNotPodBound,
    /// 401: expired token.
    TokenExpired,
    /// 401: the API server denied the token.
    TokenDenied,
    /// 403: the uid or the token belongs to another pod.
    PodMismatch,
    /// 404: no target selects the pod.
    UnknownPod,
    /// 404 or 405: wrong path or method.
    NotFound,
    /// 408: the body did not arrive in time.
    BodyTimeout,
    /// 409: a reading that was received before.
    Duplicate,
    /// 409: a reading older than one received before.
    OutOfOrder,
    /// 409: the sidecar's clock advances faster than ours.
    ClockSkew,
    /// 413.
    TooLarge,
    /// 429: the pod pushes too often.
    RateLimited,
    /// 429: too many tokens from this address are in review or were denied.
    TooManyReviews,
    /// 429: the control loop is overloaded. 503: the pushes in progress use all memory for pushes.
    Overloaded,
    /// 503: the API server could not review the token.
    ReviewUnavailable,
    /// 503: the pushes in progress of this address use its share of the memory for pushes.
    BodyLimitReached,
    /// 503: not ready yet, or shutting down.
    NotReady,
}

/// The outcome of a TokenReview.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum ReviewOutcome {
    Authenticated,
    Denied,
    /// The API server did not respond, or with an error.
    Failed,
}

/// The outcome of a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum DecisionOutcome {
    ScaleUp,
    ScaleDown,
    RightSize,
    TargetUnreadable,
    Conflict,
    Disabled,
    SelectorUnusable,
    InsufficientData,
    /// `mode: Recommend`: another replica count would have been written.
    Recommended,
    ModeOff,
    /// Another aggregator is the leader and writes.
    Following,
}

/// The outcome of a write of a replica count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum ScaleWriteOutcome {
    Written,
    /// Another client changed the replica count first.
    Conflict,
    Failed,
}

/// The outcome of updating a pod's deletion cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum DeletionCostOutcome {
    Marked,
    Unmarked,
    /// The annotation belongs to another client, or the pod was deleted.
    Skipped,
    Failed,
}

/// The outcome of a write to the API server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum WriteOutcome {
    Written,
    Failed,
}

impl Metrics {
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let mut all = Registration::new(registry, PREFIX);
        Self {
            pushes: all.outcomes("pushes", "Pushes received, by outcome"),
            rejected_connections: all
                .labeled(
                    "rejected_connections",
                    "reason",
                    "Connections to the push port that were rejected",
                )
                .from_zero([
                    ConnectionRejection::LimitReached,
                    ConnectionRejection::AddressLimitReached,
                ]),
            token_reviews: all
                .outcomes("token_reviews", "TokenReviews requested from the API server")
                .from_zero([ReviewOutcome::Failed]),
            decisions: all.outcomes("decisions", "Decisions, by outcome").from_zero([
                DecisionOutcome::TargetUnreadable,
                DecisionOutcome::Conflict,
                DecisionOutcome::InsufficientData,
            ]),
            scale_writes: all
                .outcomes("scale_writes", "Writes of a replica count")
                .from_zero([ScaleWriteOutcome::Failed]),
            deletion_costs: all.outcomes("deletion_costs", "Updates of pods' deletion cost"),
            status_writes: all
                .outcomes("status_writes", "Writes of a PushScaler's status")
                .from_zero([WriteOutcome::Failed]),
            event_writes: all
                .outcomes("event_writes", "Writes of Kubernetes events")
                .from_zero([WriteOutcome::Failed]),
            dropped_reports: all.add(
                "dropped_reports",
                "Statuses and events dropped because the API server is slow",
            ),
            dropped_history_records: all.add(
                "dropped_history_records",
                "Decisions missing on the status page because too many were made at once",
            ),
            load_history: all.add(
                "load_history_seconds",
                "Time for which the load of each PushScaler is kept; less than a day if there are too many of them",
            ),
            leader: all.add(
                "leader",
                "Whether this aggregator is the leader, which alone writes replica counts",
            ),
            shortest_interval: all.add(
                "shortest_interval_seconds",
                "The scrape interval at which all pods together push at the maximum rate; sidecars with shorter ones \
                 are asked for longer ones",
            ),
            scalers: all.add("scalers", "Known PushScalers"),
            pods: all.add("pods", "Known pods under the targets' selectors"),
            reaction: all.add_metric(
                "reaction_seconds",
                "Time from the scrape that caused a scale to the written replica count",
                Histogram::new(SECONDS),
            ),
            turns: all.add_metric(
                "turn_seconds",
                "Duration of a turn of the control loop",
                Histogram::new(SHORT_SECONDS),
            ),
            api_requests: all.add_metric(
                "api_request_seconds",
                "Duration of requests to the API server",
                Family::new_with_constructor(|| Histogram::new(SECONDS)),
            ),
            external_metrics: all.add_metric(
                "external_metric_seconds",
                "Duration of requests for an external metric, with their authorization",
                Family::new_with_constructor(|| Histogram::new(SHORT_SECONDS)),
            ),
            watches: all.add_collector(WatchMetrics::default()),
            scaler_metrics: None,
            scalers_without_metrics: Gauge::default(),
        }
    }

    /// Exports series for each PushScaler.
    #[must_use]
    pub(crate) fn with_scaler_metrics(self, registry: &mut Registry) -> Self {
        let mut all = Registration::new(registry, PREFIX);
        Self {
            scaler_metrics: Some(all.add_collector(Arc::new(ScalerMetrics::new()))),
            scalers_without_metrics: all.add(
                "scalers_without_metrics",
                "PushScalers without series of their own, because there are too many",
            ),
            ..self
        }
    }

    pub(crate) fn decided(&self, outcome: DecisionOutcome) {
        self.decisions.increment(outcome);
    }

    pub(crate) fn scale_written(&self, outcome: ScaleWriteOutcome) {
        self.scale_writes.increment(outcome);
    }

    /// Counts the pods of `result`; the updated ones as `updated`.
    pub(crate) fn deletion_costs(&self, result: &MarkResult, updated: DeletionCostOutcome) {
        for (outcome, pods) in [
            (updated, result.updated),
            (DeletionCostOutcome::Skipped, result.skipped),
            (DeletionCostOutcome::Failed, result.failed),
        ] {
            if pods > 0 {
                self.deletion_costs.add(outcome, pods as u64);
            }
        }
    }

    pub(crate) fn reacted(&self, after: Duration) {
        self.reaction.observe(after.as_secs_f64());
    }

    pub(crate) fn report_dropped(&self) {
        self.dropped_reports.inc();
    }

    pub(crate) fn set_load_history_seconds(&self, seconds: usize) {
        self.load_history
            .set(i64::try_from(seconds).unwrap_or(i64::MAX));
    }

    pub(crate) fn set_leader(&self, leads: bool) {
        self.leader.set(i64::from(leads));
        if let Some(scaler_metrics) = &self.scaler_metrics {
            scaler_metrics.set_leader(leads);
        }
    }

    /// Replaces the figures of a PushScaler.
    pub(crate) fn record_scaler(&self, key: &ScalerKey, sample: impl FnOnce() -> ScalerSample) {
        if let Some(scaler_metrics) = &self.scaler_metrics {
            scaler_metrics.record(key, sample());
        }
    }

    pub(crate) fn scaler_removed(&self, key: &ScalerKey) {
        if let Some(scaler_metrics) = &self.scaler_metrics {
            scaler_metrics.remove(key);
        }
    }

    /// Sets the interval in seconds below which sidecars are asked for longer ones.
    pub(crate) fn paced(&self, shortest_interval: f64) {
        self.shortest_interval.set(shortest_interval);
    }

    pub(crate) fn turn_ended(&self, after: Duration) {
        self.turns.observe(after.as_secs_f64());
    }

    /// Records a request to the API server. An error that is part of normal operation, such as a conflict, is a success
    /// of the API server.
    pub(crate) fn api_request_ended(&self, request: ApiRequest, start: Instant, succeeded: bool) {
        let labels = ApiRequestLabels {
            request: label_value(&request),
            outcome: outcome(succeeded),
        };
        self.api_requests
            .get_or_create(&labels)
            .observe(start.elapsed().as_secs_f64());
    }

    /// A request for an external metric got its response, with a value or an error.
    pub(crate) fn external_metric_responded(&self, took: Duration, succeeded: bool) {
        let labels = ExternalMetricLabels {
            outcome: outcome(succeeded),
        };
        self.external_metrics
            .get_or_create(&labels)
            .observe(took.as_secs_f64());
    }

    /// Adds a watch of objects of this kind.
    pub(crate) fn watch(&self, kind: &str) -> WatchMetric {
        self.watches.add(kind)
    }

    pub(crate) fn set_known(&self, scalers: usize, pods: usize) {
        self.scalers.set(i64::try_from(scalers).unwrap_or(i64::MAX));
        self.pods.set(i64::try_from(pods).unwrap_or(i64::MAX));
        let without_metrics = scalers.saturating_sub(MAX_SCALERS);
        self.scalers_without_metrics
            .set(i64::try_from(without_metrics).unwrap_or(i64::MAX));
    }
}

/// The value of the label `outcome` of a request.
fn outcome(succeeded: bool) -> &'static str {
    if succeeded { "succeeded" } else { "failed" }
}
