//! The figures that decided, and changes of the replica count for `status.history`.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use pushscale_api::ScaleChange;
use pushscale_decision::{Decision, Latency, ScaleReason, Step};

/// Maximum bytes of a reason: it contains the name of a model.
const MAX_REASON_BYTES: usize = 256;

/// The figures of the metric with the highest proposal. Without a metric all are unknown.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct DecidingFigures {
    /// The model, if the metric names one.
    pub(crate) model: Option<Arc<str>>,
    /// The queue latency over the pods that report.
    pub(crate) latency: Option<Latency>,
    /// The target latency.
    pub(crate) target: Option<Latency>,
    /// The arrival rate in requests per second, rounded to three decimals.
    pub(crate) arrival_rate: Option<f64>,
}

impl DecidingFigures {
    pub(crate) fn from_decision(decision: &Decision) -> Self {
        // The first one of equal proposals, as in the policy's order.
        let metrics = decision.metrics.iter().rev();
        let Some(metric) = metrics.max_by_key(|metric| metric.proposed) else {
            return Self::default();
        };
        let arrival_rate = decision.steps.iter().find_map(|step| match step {
            Step::Arrivals { model, rate, .. } if *model == metric.model => Some(*rate),
            _ => None,
        });
        Self {
            model: metric.model.clone(),
            latency: Some(metric.average),
            target: Some(metric.target),
            arrival_rate: arrival_rate.map(|rate| (rate * 1000.0).round() / 1000.0),
        }
    }
}

/// Returns the text of a reason, also for a change that only an earlier proposal causes.
pub(crate) fn reason_text(reason: &ScaleReason) -> String {
    let mut text = match reason {
        ScaleReason::None => "an earlier proposal is held".to_owned(),
        _ => reason.to_string(),
    };
    text.truncate(text.floor_char_boundary(MAX_REASON_BYTES));
    text
}

/// Returns the change that `decision` starts. Its time is set when it is written.
pub(crate) fn scale_change(
    decision: &Decision,
    from: u32,
    to: u32,
    reason: &ScaleReason,
) -> ScaleChange {
    let figures = DecidingFigures::from_decision(decision);
    let int32 = |count: u32| i32::try_from(count).unwrap_or(i32::MAX);
    ScaleChange {
        time: Time(Timestamp::UNIX_EPOCH),
        from: int32(from),
        to: int32(to),
        reason: reason_text(reason),
        model: figures.model.as_deref().map(ToOwned::to_owned),
        queue_latency: figures.latency.map(|latency| latency.to_string()),
        target: figures.target.map(|latency| latency.to_string()),
        arrival_rate: figures.arrival_rate.map(|rate| format!("{rate}/s")),
    }
}
