//! Decisions and their reasons.

use std::fmt;
use std::sync::Arc;

use crate::conditions::{Conditions, Reason};
use crate::explain::{count, metric};
use crate::freshness::Freshness;
use crate::latency::Latency;
use crate::moment::Moment;
use crate::step::Step;

/// A decision with its explanation.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// When it was made.
    pub at: Moment,
    /// Replicas in the target's spec when the decision was made; `None` if they could not be read.
    pub current: Option<u32>,
    /// What to do.
    pub outcome: Outcome,
    /// The steps that led to it, in order.
    pub steps: Vec<Step>,
    /// The metrics that could be computed, in the policy's order.
    pub metrics: Vec<MetricValue>,
    /// How many pods report.
    pub freshness: Freshness,
    /// The conditions after the decision.
    pub conditions: Conditions,
    /// Problems to report as Warning events.
    pub warnings: Vec<Warning>,
    /// When to decide again if no event arrives earlier.
    pub wake_at: Moment,
}

impl Decision {
    pub(crate) fn none(conditions: Conditions) -> Self {
        Self {
            at: Moment::ORIGIN,
            current: None,
            outcome: Outcome::Hold(Hold::InsufficientData),
            steps: Vec::new(),
            metrics: Vec::new(),
            freshness: Freshness::default(),
            conditions,
            warnings: Vec::new(),
            wake_at: Moment::ORIGIN,
        }
    }

    /// Returns the desired replicas; `None` if the current ones are unknown.
    pub fn desired(&self) -> Option<u32> {
        match &self.outcome {
            Outcome::Scale { to, .. } | Outcome::Recommend { to, .. } => Some(*to),
            Outcome::Hold { .. } => self.current,
        }
    }

    /// Returns the desired replicas for another autoscaler, which would apply a scale-down that is only recommended
    /// outside of the envelope: not fewer than the current ones then.
    pub fn desired_for_others(&self) -> Option<u32> {
        let outside = self.conditions.outside_envelope.as_ref();
        let is_outside = outside.is_some_and(|outside| outside.status);
        let least = self.current.filter(|_| is_outside);
        Some(self.desired()?.max(least.unwrap_or(0)))
    }
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.outcome)?;
        for (index, step) in self.steps.iter().enumerate() {
            f.write_str(if index == 0 { ": " } else { "; " })?;
            write!(f, "{step}")?;
        }
        Ok(())
    }
}

/// The action of a decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Write a new replica count.
    Scale {
        /// The current replicas; the write fails if they have changed.
        from: u32,
        /// The desired replicas.
        to: u32,
        /// The reason.
        reason: ScaleReason,
    },
    /// Report a new replica count without writing it (`mode: Recommend`, or a scale-down outside of the envelope).
    Recommend {
        /// The current replicas.
        from: u32,
        /// The desired replicas.
        to: u32,
        /// The reason.
        reason: ScaleReason,
    },
    /// Keep the current replicas.
    Hold(Hold),
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Scale { from, to, .. } => write!(f, "scale {from} → {}", count(*to)),
            Self::Recommend { from, to, .. } => {
                write!(f, "would scale {from} → {}", count(*to))
            }
            Self::Hold(hold) => write!(f, "hold: {hold}"),
        }
    }
}

/// Why the replicas change. `Display` is the event's text; the first five texts are those of the HPA's `horizontal.go`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ScaleReason {
    /// The average of this model, or of all models, is above its target.
    AboveTarget(Option<Arc<str>>),
    /// No average is above its target.
    AllBelowTarget,
    /// The replicas exceed `maxReplicas`.
    AboveMax,
    /// The replicas are below `minReplicas`.
    BelowMin,
    /// Only an earlier proposal changes the replicas.
    None,
    /// The arrival rate exceeds the capacity of the current replicas.
    MoreDemand(Option<Arc<str>>),
    /// A backlog has built up.
    Backlog(Option<Arc<str>>),
    /// The load rose at this time of an earlier hour, day or week.
    RiseExpected(Option<Arc<str>>),
    /// Fewer replicas meet the target.
    LessDemand,
    /// The fallback applies.
    Fallback,
}

impl fmt::Display for ScaleReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AboveTarget(model) => write!(f, "{} above target", metric(model.as_deref())),
            Self::AllBelowTarget => f.write_str("All metrics below target"),
            Self::AboveMax => f.write_str("Current number of replicas above Spec.MaxReplicas"),
            Self::BelowMin => f.write_str("Current number of replicas below Spec.MinReplicas"),
            Self::None => Ok(()),
            Self::MoreDemand(model) => {
                write!(f, "{} would exceed its target", metric(model.as_deref()))
            }
            Self::Backlog(model) => {
                write!(f, "{}: backlog", metric(model.as_deref()))
            }
            Self::RiseExpected(model) => {
                write!(f, "{}: rise expected", metric(model.as_deref()))
            }
            Self::LessDemand => f.write_str("fewer replicas meet the target"),
            Self::Fallback => f.write_str("fallback: no metric can be computed"),
        }
    }
}

/// Why the replicas stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// The proposal equals the current replicas, or it is constrained to them.
    RightSize,
    /// The target's scale cannot be read.
    TargetUnreadable,
    /// Another client scales the target.
    Conflict,
    /// The target was scaled to 0.
    Disabled,
    /// The target has no usable selector, or its pods cannot be listed.
    SelectorUnusable,
    /// No metric can be computed.
    InsufficientData,
    /// `mode: Off`.
    ModeOff,
}

impl fmt::Display for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::RightSize => "the size is right",
            Self::TargetUnreadable => "the target cannot be read",
            Self::Conflict => "another client scales the same target",
            Self::Disabled => "the target has 0 replicas, which are never scaled up automatically",
            Self::SelectorUnusable => "the target's pods are unknown",
            Self::InsufficientData => "not enough data",
            Self::ModeOff => "mode is Off",
        })
    }
}

/// The current value and the target of a metric.
#[derive(Clone, Debug, PartialEq)]
pub struct MetricValue {
    /// The model, if the metric names one.
    pub model: Option<Arc<str>>,
    /// The queue latency over the pods that report, combined by the metric's aggregate.
    pub average: Latency,
    /// The estimated percentile of the wait, if the queueing model plans for one and it is known.
    pub percentile: Option<Latency>,
    /// The target latency.
    pub target: Latency,
    /// The proposal of this metric.
    pub proposed: u32,
}

/// A problem to report as a Warning event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// The event's reason.
    pub reason: Reason,
    /// The event's text.
    pub message: String,
}
