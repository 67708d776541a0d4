//! What was decided, and how it came about.

use std::fmt;
use std::sync::Arc;

use crate::conditions::{Conditions, Reason};
use crate::explain::{metric, replicas};
use crate::freshness::Freshness;
use crate::latency::Latency;
use crate::moment::Moment;
use crate::step::Step;

/// The answer to "what now?", with its reasons.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// When it was made.
    pub at: Moment,
    /// Replicas in the target's spec as the decision found them; `None` if they could not be read.
    pub current: Option<u32>,
    /// What to do.
    pub outcome: Outcome,
    /// How it came about, in order.
    pub steps: Vec<Step>,
    /// The average of each metric that could be computed, in the policy's order.
    pub metrics: Vec<MetricValue>,
    /// How many pods report.
    pub freshness: Freshness,
    /// The conditions after it.
    pub conditions: Conditions,
    /// What an operator should hear of as a Warning event.
    pub warnings: Vec<Warning>,
    /// When to ask again even if nothing happens.
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

    /// The size that the target should have; `None` if nobody knows its size.
    pub fn desired(&self) -> Option<u32> {
        match &self.outcome {
            Outcome::Scale { to, .. } | Outcome::Recommend { to, .. } => Some(*to),
            Outcome::Hold { .. } => self.current,
        }
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

/// What to do with the target's size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Write it.
    Scale {
        /// From this size, and only from it.
        from: u32,
        /// To this one.
        to: u32,
        /// Why.
        reason: ScaleReason,
    },
    /// It would be written, but for `mode: Recommend`.
    Recommend {
        /// From this size.
        from: u32,
        /// To this one.
        to: u32,
        /// Why.
        reason: ScaleReason,
    },
    /// Leave it.
    Hold(Hold),
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Scale { from, to, .. } => write!(f, "scale {from} → {}", replicas(*to)),
            Self::Recommend { from, to, .. } => {
                write!(f, "would scale {from} → {}", replicas(*to))
            }
            Self::Hold(hold) => write!(f, "hold: {hold}"),
        }
    }
}

/// Why the size changes. `Display` is the event's text; the first five are the HPA's (the HPA's `horizontal.go`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ScaleReason {
    /// The average of this model, or of all, is above its target.
    AboveTarget(Option<Arc<str>>),
    /// No average is above its target.
    AllBelowTarget,
    /// `maxReplicas` was lowered, or the size raised by hand.
    AboveMax,
    /// `minReplicas` was raised, or the size lowered by hand.
    BelowMin,
    /// Only the past moved it.
    None,
    /// More arrives than so many replicas can serve within the target.
    MoreDemand(Option<Arc<str>>),
    /// Requests have piled up.
    Backlog(Option<Arc<str>>),
    /// A burst that comes regularly is due.
    BurstExpected(Option<Arc<str>>),
    /// Fewer replicas are enough.
    LessDemand,
    /// Nothing is known for too long.
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
                write!(f, "{} would pass its target", metric(model.as_deref()))
            }
            Self::Backlog(model) => {
                write!(f, "{}: requests have piled up", metric(model.as_deref()))
            }
            Self::BurstExpected(model) => {
                write!(f, "{}: a regular burst is due", metric(model.as_deref()))
            }
            Self::LessDemand => f.write_str("fewer replicas keep the target"),
            Self::Fallback => f.write_str("nothing is known for too long"),
        }
    }
}

/// Why the size stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// It is right as it is.
    RightSize,
    /// It cannot be read.
    TargetUnreadable,
    /// Another autoscaler writes it.
    Conflict,
    /// It is 0, and a person set that.
    Disabled,
    /// Its pods cannot be told.
    SelectorUnusable,
    /// There is not enough to go on.
    InsufficientData,
    /// Scaling is switched off.
    ModeOff,
}

impl fmt::Display for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::RightSize => "the size is right",
            Self::TargetUnreadable => "the target cannot be read",
            Self::Conflict => "somebody else writes the same target",
            Self::Disabled => {
                "the target has 0 replicas, and scaling up from 0 is a person's decision"
            }
            Self::SelectorUnusable => "the target's pods cannot be told",
            Self::InsufficientData => "too little is known",
            Self::ModeOff => "mode is Off",
        })
    }
}

/// An average and its target.
#[derive(Clone, Debug, PartialEq)]
pub struct MetricValue {
    /// The model, if the metric names one.
    pub model: Option<Arc<str>>,
    /// The queue latency over the pods that report: the mean, or what the metric's aggregate says.
    pub average: Latency,
    /// What it should be.
    pub target: Latency,
    /// What this metric alone asks for.
    pub proposed: u32,
}

/// Something that an operator should hear of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// The event's reason.
    pub reason: Reason,
    /// The event's text.
    pub message: String,
}
