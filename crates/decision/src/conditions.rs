//! The conditions of a scaler: the HPA's with its reasons, and additional ones.

use std::fmt::{self, Write as _};

use crate::snapshot::{Snapshot, Visit, visit};

/// A condition. Its type is its field in [`Conditions`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// True or False, never Unknown.
    pub status: bool,
    /// The machine-readable cause.
    pub reason: Reason,
    /// The explanation.
    pub message: String,
}

visit!(Condition: status, reason, message);

impl Default for Condition {
    fn default() -> Self {
        Self {
            status: false,
            reason: Reason::ModeOff,
            message: String::new(),
        }
    }
}

impl Visit for Reason {
    fn visit(&mut self, snapshot: &mut Snapshot) {
        snapshot.choice(self, Self::ALL);
    }
}

impl Condition {
    /// Sets `slot`, reusing its allocation.
    pub(crate) fn set(
        slot: &mut Option<Self>,
        status: bool,
        reason: Reason,
        message: fmt::Arguments<'_>,
    ) {
        let condition = slot.get_or_insert_with(|| Self {
            status,
            reason,
            message: String::new(),
        });
        condition.status = status;
        condition.reason = reason;
        condition.message.clear();
        // Writing to a string cannot fail.
        condition.message.write_fmt(message).ok();
    }
}

/// All conditions; `None` if never set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conditions {
    /// Whether the target's scale can be read and written.
    pub able_to_scale: Option<Condition>,
    /// Whether a metric can be computed.
    pub scaling_active: Option<Condition>,
    /// Whether a bound or a limit reduces the change.
    pub scaling_limited: Option<Condition>,
    /// Whether all running pods report.
    pub fresh: Option<Condition>,
    /// Whether the queueing model lacks an input. Absent with `Ratio`.
    pub metrics_incomplete: Option<Condition>,
    /// Whether requests arrive and none completes. Absent until that happens first.
    pub stuck: Option<Condition>,
    /// Whether the target latency can be met at all. Absent until it cannot.
    pub target_reachable: Option<Condition>,
    /// Whether a pod is much slower than the others. Absent until that happens first.
    pub pod_outlier: Option<Condition>,
    /// Whether idle pods leave too few to carry the load. Absent until that happens first.
    pub load_uneven: Option<Condition>,
    /// Whether the arrivals stopped at all pods at once. Absent until that happens first.
    pub demand_vanished: Option<Condition>,
    /// Whether the measured waits show that the queueing formula does not describe the fleet. Absent until that happens
    /// first.
    pub outside_envelope: Option<Condition>,
}

impl Conditions {
    /// Removes those that only `algorithm: Model` sets, except that of the envelope.
    pub(crate) fn forget_model(&mut self) {
        self.metrics_incomplete = None;
        self.stuck = None;
        self.target_reachable = None;
        self.pod_outlier = None;
        self.load_uneven = None;
        self.demand_vanished = None;
    }
}

visit!(Conditions: able_to_scale, scaling_active, scaling_limited, fresh, metrics_incomplete, stuck, target_reachable,
    pod_outlier, load_uneven, demand_vanished, outside_envelope);

/// Defines [`Reason`] with its list and its names.
macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// The reason of a condition or an event. Reasons that the HPA has are spelt like there (`horizontal.go`).
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Reason {
            $($(#[$doc])* $name,)*
        }

        impl Reason {
            /// All reasons.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// Returns the name in a condition or an event.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)*
                }
            }
        }
    };
}

reasons! {
    /// AbleToScale: the scale was read.
    SucceededGetScale,
    /// AbleToScale: the scale could not be read.
    FailedGetScale,
    /// AbleToScale: no hold applies.
    ReadyForNewScale,
    /// AbleToScale: an earlier, higher proposal is held.
    ScaleDownStabilized,
    /// AbleToScale: an earlier, lower proposal is held.
    ScaleUpStabilized,
    /// AbleToScale: the replicas were written.
    SucceededRescale,
    /// AbleToScale: the replicas could not be written.
    FailedUpdateScale,
    /// AbleToScale: another autoscaler has the same target (not a reason of the HPA).
    TargetContested,
    /// ScalingActive: replicas were computed from a metric.
    ValidMetricFound,
    /// ScalingActive: the target was scaled to 0.
    ScalingDisabled,
    /// ScalingActive: the target has no usable selector.
    InvalidSelector,
    /// ScalingActive: another PushScaler's target selects the same pods.
    AmbiguousSelector,
    /// ScalingActive: no metric could be computed, or the pods could not be listed.
    FailedGetPodsMetric,
    /// ScalingLimited: no limit applies.
    DesiredWithinRange,
    /// ScalingLimited: `minReplicas` applies.
    TooFewReplicas,
    /// ScalingLimited: `maxReplicas` applies.
    TooManyReplicas,
    /// ScalingLimited: the rate limit for scaling up applies.
    ScaleUpLimit,
    /// ScalingLimited: the rate limit for scaling down applies.
    ScaleDownLimit,
    /// Fresh: every running pod reports.
    AllPodsReporting,
    /// Fresh: some running pods do not report.
    SomePodsNotReporting,
    /// Fresh: no running pod reports.
    NoPodsReporting,
    /// MetricsIncomplete: no input is missing.
    AllMetricsAvailable,
    /// MetricsIncomplete: completed requests are not counted (the management port is not read).
    CompletionCountUnavailable,
    /// MetricsIncomplete: fewer requests are timed than completed (gRPC, failures).
    UntimedCompletions,
    /// MetricsIncomplete: the number of workers per pod is unknown.
    WorkerCountUnknown,
    /// MetricsIncomplete: requests of one of several models arrive, and their service time is unknown.
    ServiceTimeUnknown,
    /// MetricsIncomplete: the pods report more models than are tracked.
    TooManyModels,
    /// Stuck: requests arrive and none completes.
    NoRequestsCompleted,
    /// Stuck: requests complete again.
    RequestsCompleting,
    /// TargetReachable: the server waits longer for a batch than the target latency.
    BatchDelayAboveTarget,
    /// TargetReachable: the target latency can be met again.
    TargetWithinReach,
    /// PodOutlier: a pod's requests take much longer than the others'.
    SlowPod,
    /// PodOutlier: a pod completes no requests, and the others do.
    HungPod,
    /// PodOutlier: no pod is much slower than the others.
    PodsAlike,
    /// LoadUneven: some pods get hardly any requests, and the others too many.
    IdlePods,
    /// LoadUneven: a pod gets more requests than it can serve, although the pods together could serve all.
    OverloadedPod,
    /// LoadUneven: enough pods receive requests.
    LoadBalanced,
    /// DemandVanished: the arrivals stopped at all pods at once.
    ArrivalsStopped,
    /// DemandVanished: requests arrive again, or the hold is over.
    ArrivalsUsual,
    /// OutsideEnvelope: requests wait longer than the target and than the calibrated formula can explain.
    WaitsUnexplained,
    /// OutsideEnvelope: the formula explains the waits, or hardly any request waits.
    WaitsExplained,
    /// ScalingLimited: this direction is paused.
    ScalingPaused,
    /// AbleToScale: another client changed the replicas three times within 15 minutes, each time soon after a write.
    SizeContested,
    /// AbleToScale: `mode: Recommend` writes nothing, or a scale-down outside of the envelope is not written.
    RecommendOnly,
    /// ScalingActive: `mode: Off`.
    ModeOff,
    /// ScalingActive: no metric can be computed, the fallback applies.
    FallbackActive,
    /// Event: the replicas were written.
    SuccessfulRescale,
    /// Event: the replicas could not be written.
    FailedRescale,
    /// Event: the target has no selector.
    SelectorRequired,
    /// Event: no replicas could be computed.
    FailedComputeMetricsReplicas,
}

impl Reason {
    /// Parses a name; a restarted aggregator reads its conditions from the status.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .copied()
            .find(|reason| reason.as_str() == text)
    }
}
