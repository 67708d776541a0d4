//! What the aggregator says of itself. Every way in which something can end has its own count.

use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use pushscale_daemon::http_server::ConnectionRejection;

use crate::certificates::CertificateMetrics;

/// The aggregator's own metrics. Cloned freely; all clones count together.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    /// Of certificates.
    pub(crate) certificates: CertificateMetrics,
    readings: Family<ReadingLabels, Counter>,
    refused_connections: Family<RefusedLabels, Counter>,
    token_reviews: Family<ReviewLabels, Counter>,
    decisions: Family<DecisionLabels, Counter>,
    writes: Family<WriteLabels, Counter>,
    deletion_costs: Family<DeletionCostLabels, Counter>,
    statuses: Family<OkLabels, Counter>,
    events: Family<OkLabels, Counter>,
    dropped_reports: Counter,
    scalers: Gauge,
    pods: Gauge,
    reaction: Histogram,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReadingLabels {
    outcome: ReadingOutcome,
}

/// What became of a push.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
pub(crate) enum ReadingOutcome {
    /// 200.
    Taken,
    /// 400: no push at all.
    Malformed,
    /// 400: a version not known here.
    UnknownVersion,
    /// 400: a number that is none.
    BadValue,
    /// 401: no token, or one that is no service account's.
    NoToken,
    /// 401: for another audience.
    OtherAudience,
    /// 401: not bound to a pod.
    TokenOfNoPod,
    /// 401: its time is over.
    ExpiredToken,
    /// 401: its pod is gone.
    TokenOfGonePod,
    /// 401: the API server does not know it.
    DeniedToken,
    /// 403: the uid, or the token, is another pod's.
    OtherPod,
    /// 404: no scaler selects the pod.
    UnknownPod,
    /// 404: another path, or 405: another method.
    NotAPush,
    /// 408: the body did not arrive in time.
    SlowBody,
    /// 409: received before.
    Duplicate,
    /// 409: older than one received before.
    OutOfOrder,
    /// 409: from the future.
    ImpossibleClock,
    /// 413.
    TooLarge,
    /// 429: the pod pushes too fast.
    TooSoon,
    /// 429: too many tokens from this address were denied.
    TooManyDenied,
    /// 429: the loop is busy.
    Busy,
    /// 503: the API server cannot be asked about the token.
    NotReviewed,
    /// 503: not ready yet, or stopping.
    NotReady,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReviewLabels {
    outcome: ReviewOutcome,
}

/// What the API server said of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
pub(crate) enum ReviewOutcome {
    Authenticated,
    Denied,
    /// Nothing.
    Failed,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RefusedLabels {
    reason: RefusedReason,
}

/// Why a connection to the push port got no service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
enum RefusedReason {
    Full,
    TooManyOfOneAddress,
    PlainHttp,
    Handshake,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DecisionLabels {
    outcome: DecisionOutcome,
}

/// What was decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
pub(crate) enum DecisionOutcome {
    ScaleUp,
    ScaleDown,
    RightSize,
    TargetUnreadable,
    Contested,
    Disabled,
    SelectorUnusable,
    NotEnoughKnown,
    /// `mode: Recommend`: another size would have been written.
    Recommended,
    Off,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WriteLabels {
    outcome: WriteOutcome,
}

/// How a write of a size ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
pub(crate) enum WriteOutcome {
    Written,
    /// Somebody else had set another size in the meantime.
    Conflict,
    Failed,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DeletionCostLabels {
    outcome: DeletionCost,
}

/// What became of telling a pod whether it goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
pub(crate) enum DeletionCost {
    Put,
    TakenBack,
    /// Somebody else has set it in the meantime, or the pod is gone.
    Held,
    Failed,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OkLabels {
    outcome: OkOutcome,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
enum OkOutcome {
    Written,
    Failed,
}

impl Metrics {
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let registry = registry.sub_registry_with_prefix("pushscale_aggregator");
        let metrics = Self {
            certificates: CertificateMetrics::register(registry),
            readings: Family::default(),
            refused_connections: Family::default(),
            token_reviews: Family::default(),
            decisions: Family::default(),
            writes: Family::default(),
            deletion_costs: Family::default(),
            statuses: Family::default(),
            events: Family::default(),
            dropped_reports: Counter::default(),
            scalers: Gauge::default(),
            pods: Gauge::default(),
            reaction: Histogram::new([
                0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
            ]),
        };
        registry.register(
            "readings",
            "Pushes received, by what became of them",
            metrics.readings.clone(),
        );
        registry.register(
            "refused_connections",
            "Connections to the push port that got no service",
            metrics.refused_connections.clone(),
        );
        registry.register(
            "token_reviews",
            "Tokens that the API server was asked about",
            metrics.token_reviews.clone(),
        );
        registry.register(
            "decisions",
            "Decisions made, by what was decided",
            metrics.decisions.clone(),
        );
        registry.register(
            "scale_writes",
            "Writes of a size, by how they ended",
            metrics.writes.clone(),
        );
        registry.register(
            "deletion_costs",
            "Pods told whether they go first when the size shrinks, by how that ended",
            metrics.deletion_costs.clone(),
        );
        registry.register(
            "status_writes",
            "Writes of a PushScaler's status",
            metrics.statuses.clone(),
        );
        registry.register(
            "event_writes",
            "Kubernetes events written",
            metrics.events.clone(),
        );
        registry.register(
            "dropped_reports",
            "Statuses and events not told because the API server is slow",
            metrics.dropped_reports.clone(),
        );
        registry.register("scalers", "PushScalers known", metrics.scalers.clone());
        registry.register(
            "pods",
            "Pods known under the targets' selectors",
            metrics.pods.clone(),
        );
        registry.register(
            "reaction_seconds",
            "From the look of the sidecar that led to it, to a written size",
            metrics.reaction.clone(),
        );
        metrics
    }

    pub(crate) fn reading(&self, outcome: ReadingOutcome) {
        self.readings
            .get_or_create(&ReadingLabels { outcome })
            .inc();
    }

    pub(crate) fn connection_rejected(&self, why: ConnectionRejection) {
        let reason = match why {
            ConnectionRejection::LimitReached => RefusedReason::Full,
            ConnectionRejection::AddressLimitReached => RefusedReason::TooManyOfOneAddress,
            ConnectionRejection::PlainHttp => RefusedReason::PlainHttp,
            ConnectionRejection::HandshakeFailed => RefusedReason::Handshake,
        };
        self.refused_connections
            .get_or_create(&RefusedLabels { reason })
            .inc();
    }

    pub(crate) fn reviewed(&self, outcome: ReviewOutcome) {
        self.token_reviews
            .get_or_create(&ReviewLabels { outcome })
            .inc();
    }

    pub(crate) fn decided(&self, outcome: DecisionOutcome) {
        self.decisions
            .get_or_create(&DecisionLabels { outcome })
            .inc();
    }

    pub(crate) fn wrote(&self, outcome: WriteOutcome) {
        self.writes.get_or_create(&WriteLabels { outcome }).inc();
    }

    pub(crate) fn deletion_cost(&self, outcome: DeletionCost, pods: usize) {
        if pods > 0 {
            let labels = DeletionCostLabels { outcome };
            self.deletion_costs
                .get_or_create(&labels)
                .inc_by(pods as u64);
        }
    }

    pub(crate) fn reacted(&self, after: Duration) {
        self.reaction.observe(after.as_secs_f64());
    }

    pub(crate) fn status_written(&self, good: bool) {
        self.statuses.get_or_create(&ok(good)).inc();
    }

    pub(crate) fn event_written(&self, good: bool) {
        self.events.get_or_create(&ok(good)).inc();
    }

    pub(crate) fn report_dropped(&self) {
        self.dropped_reports.inc();
    }

    pub(crate) fn known(&self, scalers: usize, pods: usize) {
        self.scalers.set(i64::try_from(scalers).unwrap_or(i64::MAX));
        self.pods.set(i64::try_from(pods).unwrap_or(i64::MAX));
    }
}

fn ok(good: bool) -> OkLabels {
    OkLabels {
        outcome: if good {
            OkOutcome::Written
        } else {
            OkOutcome::Failed
        },
    }
}
