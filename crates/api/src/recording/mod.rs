//! Decisions with all their inputs, as JSON lines. The aggregator writes them, and `pushscale replay` reads them.
//!
//! A line is a [`Recording`]: a scaler's state, followed by its inputs and decisions in order. Times are whole
//! nanoseconds since an arbitrary origin, and counts and sums are whole numbers, so that a replay is exact to the last
//! bit.

mod facts;
mod readings;
mod time;

use std::collections::BTreeMap;

use pushscale_decision::{Conditions, Decision, TargetState};
use serde::{Deserialize, Serialize};

use crate::conditions::by_type;
use crate::pushscaler::PushScalerSpec;

pub use facts::{Fact, RecordedFact, RecordedPhase, RecordedPod};
pub use readings::{RecordedCounters, RecordedModel, RecordedQueue, RecordedReading};
pub use time::nanos;

/// A sequence of decisions of one scaler.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Recording {
    /// The scaler and the time.
    pub name: String,
    /// The release that wrote the recording. Other releases cannot decode its recorded state.
    pub release: String,
    /// The spec at the beginning.
    pub spec: PushScalerSpec,
    /// The scaler's state at the beginning; absent for a new scaler.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<String>,
    /// The decisions.
    pub steps: Vec<RecordedStep>,
}

/// One decision with its inputs.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RecordedStep {
    /// The inputs since the previous decision, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub facts: Vec<RecordedFact>,
    /// The time of the decision, in nanoseconds since the recording's origin.
    pub at_nanos: u64,
    /// The state of the target.
    pub target: RecordedTarget,
    /// The recorded decision; absent if a replay compares nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expect: Option<Expected>,
}

/// The state of the target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum RecordedTarget {
    /// The replica count. The target does not report the number of existing pods.
    Replicas(u32),
    /// The replica count and what else is known about the pods.
    #[serde(rename_all = "camelCase")]
    Scale {
        /// The replica count.
        replicas: u32,
        /// The number of pods that exist according to the target's status; absent if it does not report it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        existing: Option<u32>,
        /// Whether a scale-down deletes slow pods first; absent if it does.
        #[serde(default = "default_true", skip_serializing_if = "is_true")]
        deletes_slow_first: bool,
    },
    /// The replica count is known, but the pods are not.
    SelectorUnusable {
        /// The replica count.
        replicas: u32,
        /// Why the pods are unknown.
        why: RecordedSelector,
    },
    /// The target could not be read.
    Unreadable(String),
    /// Another autoscaler scales the target.
    Conflict(String),
}

/// Returns the default of what older releases did not record.
fn default_true() -> bool {
    true
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_true(value: &bool) -> bool {
    *value
}

/// Why the target's pods are unknown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum RecordedSelector {
    /// The scale has no selector.
    Missing,
    /// The selector is invalid.
    Invalid(String),
    /// The pods cannot be listed.
    Unlisted(String),
    /// The target of another PushScaler selects the same pods.
    Shared(String),
}

/// The compared parts of a decision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Expected {
    /// The desired replica count; absent if unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub desired: Option<u32>,
    /// The conditions as "Status/Reason" by type; empty if they are not compared.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub conditions: BTreeMap<String, String>,
    /// The explanation; absent if it is not compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub explanation: Option<String>,
}

impl Expected {
    /// Returns all compared parts of a decision.
    pub fn from_decision(decision: &Decision) -> Self {
        Self {
            desired: decision.desired(),
            conditions: status_and_reason(&decision.conditions),
            explanation: Some(decision.to_string()),
        }
    }
}

/// Returns the conditions as "Status/Reason" by type.
pub fn status_and_reason(conditions: &Conditions) -> BTreeMap<String, String> {
    by_type(conditions)
        .into_iter()
        .filter_map(|(kind, condition)| {
            let condition = condition.as_ref()?;
            let status = if condition.status { "True" } else { "False" };
            let value = format!("{status}/{}", condition.reason.as_str());
            Some((kind.to_owned(), value))
        })
        .collect()
}

impl From<&TargetState> for RecordedTarget {
    fn from(state: &TargetState) -> Self {
        use pushscale_decision::Selector;
        let (replicas, why) = match state {
            TargetState::Unreadable { message } => return Self::Unreadable(message.clone()),
            TargetState::Conflict { with } => return Self::Conflict(with.clone()),
            TargetState::Known {
                replicas,
                existing,
                selector,
                deletes_slow_first,
            } => match selector {
                Selector::Usable if existing.is_none() && *deletes_slow_first => {
                    return Self::Replicas(*replicas);
                }
                Selector::Usable => {
                    return Self::Scale {
                        replicas: *replicas,
                        existing: *existing,
                        deletes_slow_first: *deletes_slow_first,
                    };
                }
                Selector::Missing => (*replicas, RecordedSelector::Missing),
                Selector::Invalid { message } => {
                    (*replicas, RecordedSelector::Invalid(message.clone()))
                }
                Selector::Unlisted { message } => {
                    (*replicas, RecordedSelector::Unlisted(message.clone()))
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
                existing: None,
                selector: Selector::Usable,
                deletes_slow_first: true,
            },
            RecordedTarget::Scale {
                replicas,
                existing,
                deletes_slow_first,
            } => Self::Known {
                replicas: *replicas,
                existing: *existing,
                selector: Selector::Usable,
                deletes_slow_first: *deletes_slow_first,
            },
            RecordedTarget::SelectorUnusable { replicas, why } => Self::Known {
                replicas: *replicas,
                existing: None,
                selector: match why {
                    RecordedSelector::Missing => Selector::Missing,
                    RecordedSelector::Invalid(message) => Selector::Invalid {
                        message: message.clone(),
                    },
                    RecordedSelector::Unlisted(message) => Selector::Unlisted {
                        message: message.clone(),
                    },
                    RecordedSelector::Shared(with) => Selector::Shared { with: with.clone() },
                },
                // Without pods nothing is replaced.
                deletes_slow_first: true,
            },
            RecordedTarget::Unreadable(message) => Self::Unreadable {
                message: message.clone(),
            },
            RecordedTarget::Conflict(with) => Self::Conflict { with: with.clone() },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pushscale_decision::Selector;

    #[test]
    fn a_target_of_an_older_recording_deletes_slow_pods_first() {
        for (text, existing, deletes_slow_first) in [
            (r#"{"replicas":3}"#, None, true),
            (r#"{"scale":{"replicas":3,"existing":2}}"#, Some(2), true),
            (
                r#"{"scale":{"replicas":3,"existing":2,"deletesSlowFirst":false}}"#,
                Some(2),
                false,
            ),
            (
                r#"{"scale":{"replicas":3,"deletesSlowFirst":false}}"#,
                None,
                false,
            ),
        ] {
            let recorded: RecordedTarget = serde_json::from_str(text).unwrap();
            let target = TargetState::Known {
                replicas: 3,
                existing,
                selector: Selector::Usable,
                deletes_slow_first,
            };
            assert_eq!(TargetState::from(&recorded), target, "{text}");
            let again = serde_json::to_string(&RecordedTarget::from(&target)).unwrap();
            assert_eq!(again, text);
        }
    }
}
