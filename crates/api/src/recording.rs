//! Decisions with all that led to them, as JSON lines: the aggregator writes them, `pushscale replay` reads them.
//!
//! A line is a [`Recording`]: what the scaler remembered, then what it was told and what it decided, in order. Times are
//! whole nanoseconds since an origin that means nothing, counts and sums are whole numbers: decided again, the same
//! comes out to the last bit.

mod facts;
mod readings;

use std::collections::BTreeMap;

use pushscale_decision::{Conditions, Decision, TargetState};
use serde::{Deserialize, Serialize};

use crate::pushscaler::PushScalerSpec;

pub use facts::{Fact, RecordedFact, RecordedPhase, RecordedPod};
pub use readings::{RecordedCounters, RecordedModel, RecordedQueue, RecordedReading};

/// A stretch of one scaler's life.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Recording {
    /// Whose, and when.
    pub name: String,
    /// The release that wrote it: its memory means something to that one only.
    pub release: String,
    /// The spec at its beginning.
    pub spec: PushScalerSpec,
    /// What the scaler remembered at its beginning; absent: nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<String>,
    /// Its decisions.
    pub steps: Vec<RecordedStep>,
}

/// One decision.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RecordedStep {
    /// What was told since the last decision, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub facts: Vec<RecordedFact>,
    /// When it was made.
    pub at_nanos: u64,
    /// What was known of the target.
    pub target: RecordedTarget,
    /// What was decided; absent: anything may be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expect: Option<Expected>,
}

/// What was known of the target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum RecordedTarget {
    /// Its size.
    Replicas(u32),
    /// Its size; and its pods cannot be told, for this reason.
    SelectorUnusable {
        /// Its size.
        replicas: u32,
        /// Why.
        why: RecordedSelector,
    },
    /// It cannot be read.
    Unreadable(String),
    /// Another autoscaler writes it.
    ContestedBy(String),
}

/// Why the target's pods cannot be told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum RecordedSelector {
    /// The scale has no selector.
    Missing,
    /// It cannot be used.
    Invalid(String),
    /// Another one's target has the same pods.
    Shared(String),
}

/// What was decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Expected {
    /// The size that the target should have; absent: unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub desired: Option<u32>,
    /// The conditions after it, as "Status/Reason"; absent: not compared.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub conditions: BTreeMap<String, String>,
    /// The explanation; absent: not compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub explanation: Option<String>,
}

impl Expected {
    /// All of a decision that is compared.
    pub fn of(decision: &Decision) -> Self {
        Self {
            desired: decision.desired(),
            conditions: told(&decision.conditions),
            explanation: Some(decision.to_string()),
        }
    }
}

/// Conditions as "Status/Reason" by type.
pub fn told(conditions: &Conditions) -> BTreeMap<String, String> {
    use crate::names::conditions as names;
    [
        (names::ABLE_TO_SCALE, &conditions.able_to_scale),
        (names::SCALING_ACTIVE, &conditions.scaling_active),
        (names::SCALING_LIMITED, &conditions.scaling_limited),
        (names::FRESH, &conditions.fresh),
        (names::METRICS_INCOMPLETE, &conditions.metrics_incomplete),
        (names::STUCK, &conditions.stuck),
        (names::TARGET_REACHABLE, &conditions.target_reachable),
    ]
    .into_iter()
    .filter_map(|(kind, condition)| {
        let condition = condition.as_ref()?;
        let status = if condition.status { "True" } else { "False" };
        let told = format!("{status}/{}", condition.reason.as_str());
        Some((kind.to_owned(), told))
    })
    .collect()
}

impl From<&TargetState> for RecordedTarget {
    fn from(facts: &TargetState) -> Self {
        use pushscale_decision::Selector;
        let (replicas, why) = match facts {
            TargetState::Unreadable { message } => return Self::Unreadable(message.clone()),
            TargetState::Conflict { with: by } => return Self::ContestedBy(by.clone()),
            TargetState::Known { replicas, selector } => match selector {
                Selector::Usable => return Self::Replicas(*replicas),
                Selector::Missing => (*replicas, RecordedSelector::Missing),
                Selector::Invalid { message } => {
                    (*replicas, RecordedSelector::Invalid(message.clone()))
                }
                Selector::Shared { with } => (*replicas, RecordedSelector::Shared(with.clone())),
            },
        };
        Self::SelectorUnusable { replicas, why }
    }
}

impl From<&RecordedTarget> for TargetState {
    fn from(recorded: &RecordedTarget) -> Self {
        use pushscale_decision::Selector;
        match recorded {
            RecordedTarget::Replicas(replicas) => Self::Known {
                replicas: *replicas,
                selector: Selector::Usable,
            },
            RecordedTarget::SelectorUnusable { replicas, why } => Self::Known {
                replicas: *replicas,
                selector: match why {
                    RecordedSelector::Missing => Selector::Missing,
                    RecordedSelector::Invalid(message) => Selector::Invalid {
                        message: message.clone(),
                    },
                    RecordedSelector::Shared(with) => Selector::Shared { with: with.clone() },
                },
            },
            RecordedTarget::Unreadable(message) => Self::Unreadable {
                message: message.clone(),
            },
            RecordedTarget::ContestedBy(by) => Self::Conflict { with: by.clone() },
        }
    }
}
