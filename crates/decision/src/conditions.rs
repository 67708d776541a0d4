//! What a scaler can say of itself: the HPA's conditions with its reasons, and our own.

use std::fmt::{self, Write as _};

use crate::snapshot::Snapshot;

/// One condition. Its type is the field of [`Conditions`] that holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// True or False; never Unknown.
    pub status: bool,
    /// ScaleReason, in one word.
    pub reason: Reason,
    /// ScaleReason, in a sentence.
    pub message: String,
}

impl Condition {
    /// Sets `slot`, in the memory that it has.
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

/// All conditions; one that was never set is absent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conditions {
    /// Can the target's size be read and written?
    pub able_to_scale: Option<Condition>,
    /// Is there a metric to go by?
    pub scaling_active: Option<Condition>,
    /// Did a bound or a limit cut what was wanted?
    pub scaling_limited: Option<Condition>,
    /// Do all running pods report?
    pub fresh: Option<Condition>,
    /// Does the queue model lack an input? Absent with `Ratio`.
    pub metrics_incomplete: Option<Condition>,
    /// Do requests arrive and none is answered? Absent until it happens first.
    pub stuck: Option<Condition>,
    /// Can the target be kept at all? Absent until it could not.
    pub target_reachable: Option<Condition>,
}

impl Conditions {
    pub(crate) fn visit(&mut self, snapshot: &mut Snapshot) {
        let Self {
            able_to_scale,
            scaling_active,
            scaling_limited,
            fresh,
            metrics_incomplete,
            stuck,
            target_reachable,
        } = self;
        for slot in [
            able_to_scale,
            scaling_active,
            scaling_limited,
            fresh,
            metrics_incomplete,
            stuck,
            target_reachable,
        ] {
            let blank = || Condition {
                status: false,
                reason: Reason::ModeOff,
                message: String::new(),
            };
            snapshot.option(slot, blank, |snapshot, condition| {
                snapshot.bool(&mut condition.status);
                let reason = &mut condition.reason;
                let mut place = Reason::ALL
                    .iter()
                    .position(|known| known == reason)
                    .unwrap_or(0);
                snapshot.usize(&mut place);
                *reason = Reason::ALL.get(place).copied().unwrap_or(*reason);
                snapshot.string(&mut condition.message);
            });
        }
    }
}

/// The reason of a condition or an event. Those that the HPA has are spelt as there (the HPA's `horizontal.go`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// AbleToScale: the size was read.
    SucceededGetScale,
    /// AbleToScale: the size cannot be read.
    FailedGetScale,
    /// AbleToScale: nothing holds the proposal.
    ReadyForNewScale,
    /// AbleToScale: an earlier, higher proposal holds.
    ScaleDownStabilized,
    /// AbleToScale: an earlier, lower proposal holds.
    ScaleUpStabilized,
    /// AbleToScale: the new size was written.
    SucceededRescale,
    /// AbleToScale: the new size could not be written.
    FailedUpdateScale,
    /// AbleToScale: another autoscaler writes the same target (ours, not the HPA's).
    TargetContested,
    /// ScalingActive: a metric gave a count.
    ValidMetricFound,
    /// ScalingActive: 0 replicas, set by a person.
    ScalingDisabled,
    /// ScalingActive: the target has no usable selector.
    InvalidSelector,
    /// ScalingActive: another PushScaler's target selects the same pods.
    AmbiguousSelector,
    /// ScalingActive: no pod gave a queue latency.
    FailedGetPodsMetric,
    /// ScalingLimited: nothing cut it.
    DesiredWithinRange,
    /// ScalingLimited: `minReplicas` did.
    TooFewReplicas,
    /// ScalingLimited: `maxReplicas` did.
    TooManyReplicas,
    /// ScalingLimited: the speed of rising did.
    ScaleUpLimit,
    /// ScalingLimited: the speed of falling did.
    ScaleDownLimit,
    /// Fresh: every running pod reports.
    AllPodsReporting,
    /// Fresh: some do not.
    SomePodsNotReporting,
    /// Fresh: none does.
    NoPodsReporting,
    /// MetricsIncomplete: nothing is missing.
    AllMetricsAvailable,
    /// MetricsIncomplete: nobody counts answers (the management port is not read).
    CompletionCountUnavailable,
    /// MetricsIncomplete: fewer answers are timed than given (gRPC, failures).
    UntimedCompletions,
    /// MetricsIncomplete: nobody tells how many workers a pod has.
    WorkerCountUnknown,
    /// Stuck: requests arrive and none is answered.
    NoRequestsCompleted,
    /// Stuck: no longer.
    RequestsCompleting,
    /// TargetReachable: the server waits longer for a batch than a request may.
    BatchDelayAboveTarget,
    /// TargetReachable: again.
    TargetWithinReach,
    /// ScalingLimited: this direction is paused.
    ScalingPaused,
    /// ScalingLimited: a schedule holds the size.
    ScheduledFloor,
    /// AbleToScale: somebody else keeps setting another size.
    SizeContested,
    /// AbleToScale: `mode: Recommend` writes nothing.
    RecommendOnly,
    /// ScalingActive: `mode: Off`.
    ModeOff,
    /// ScalingActive: nothing is known, the fallback holds.
    FallbackActive,
    /// Event: a new size was written.
    SuccessfulRescale,
    /// Event: a new size could not be written.
    FailedRescale,
    /// Event: the target has no selector.
    SelectorRequired,
    /// Event: no count could be computed.
    FailedComputeMetricsReplicas,
}

impl Reason {
    /// Every reason there is.
    pub const ALL: [Self; 39] = [
        Self::SucceededGetScale,
        Self::FailedGetScale,
        Self::ReadyForNewScale,
        Self::ScaleDownStabilized,
        Self::ScaleUpStabilized,
        Self::SucceededRescale,
        Self::FailedUpdateScale,
        Self::TargetContested,
        Self::ValidMetricFound,
        Self::ScalingDisabled,
        Self::InvalidSelector,
        Self::AmbiguousSelector,
        Self::FailedGetPodsMetric,
        Self::DesiredWithinRange,
        Self::TooFewReplicas,
        Self::TooManyReplicas,
        Self::ScaleUpLimit,
        Self::ScaleDownLimit,
        Self::AllPodsReporting,
        Self::SomePodsNotReporting,
        Self::NoPodsReporting,
        Self::AllMetricsAvailable,
        Self::CompletionCountUnavailable,
        Self::UntimedCompletions,
        Self::WorkerCountUnknown,
        Self::NoRequestsCompleted,
        Self::RequestsCompleting,
        Self::BatchDelayAboveTarget,
        Self::TargetWithinReach,
        Self::ScalingPaused,
        Self::ScheduledFloor,
        Self::SizeContested,
        Self::RecommendOnly,
        Self::ModeOff,
        Self::FallbackActive,
        Self::SuccessfulRescale,
        Self::FailedRescale,
        Self::SelectorRequired,
        Self::FailedComputeMetricsReplicas,
    ];

    /// The reason that is written so; a restarted aggregator finds its conditions in the status again.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == text)
    }

    /// As it stands in a condition or an event.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SucceededGetScale => "SucceededGetScale",
            Self::FailedGetScale => "FailedGetScale",
            Self::ReadyForNewScale => "ReadyForNewScale",
            Self::ScaleDownStabilized => "ScaleDownStabilized",
            Self::ScaleUpStabilized => "ScaleUpStabilized",
            Self::SucceededRescale => "SucceededRescale",
            Self::FailedUpdateScale => "FailedUpdateScale",
            Self::TargetContested => "TargetContested",
            Self::ValidMetricFound => "ValidMetricFound",
            Self::ScalingDisabled => "ScalingDisabled",
            Self::InvalidSelector => "InvalidSelector",
            Self::AmbiguousSelector => "AmbiguousSelector",
            Self::FailedGetPodsMetric => "FailedGetPodsMetric",
            Self::DesiredWithinRange => "DesiredWithinRange",
            Self::TooFewReplicas => "TooFewReplicas",
            Self::TooManyReplicas => "TooManyReplicas",
            Self::ScaleUpLimit => "ScaleUpLimit",
            Self::ScaleDownLimit => "ScaleDownLimit",
            Self::AllPodsReporting => "AllPodsReporting",
            Self::SomePodsNotReporting => "SomePodsNotReporting",
            Self::NoPodsReporting => "NoPodsReporting",
            Self::AllMetricsAvailable => "AllMetricsAvailable",
            Self::CompletionCountUnavailable => "CompletionCountUnavailable",
            Self::UntimedCompletions => "UntimedCompletions",
            Self::WorkerCountUnknown => "WorkerCountUnknown",
            Self::NoRequestsCompleted => "NoRequestsCompleted",
            Self::RequestsCompleting => "RequestsCompleting",
            Self::BatchDelayAboveTarget => "BatchDelayAboveTarget",
            Self::TargetWithinReach => "TargetWithinReach",
            Self::ScalingPaused => "ScalingPaused",
            Self::ScheduledFloor => "ScheduledFloor",
            Self::SizeContested => "SizeContested",
            Self::RecommendOnly => "RecommendOnly",
            Self::ModeOff => "ModeOff",
            Self::FallbackActive => "FallbackActive",
            Self::SuccessfulRescale => "SuccessfulRescale",
            Self::FailedRescale => "FailedRescale",
            Self::SelectorRequired => "SelectorRequired",
            Self::FailedComputeMetricsReplicas => "FailedComputeMetricsReplicas",
        }
    }
}
