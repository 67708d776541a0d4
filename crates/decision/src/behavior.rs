//! `behavior` of `autoscaling/v2`, with the same fields.

use std::time::Duration;

/// The scaling rules of both directions.
#[derive(Clone, Debug, PartialEq)]
pub struct Behavior {
    /// `scaleUp`.
    pub scale_up: ScalingRules,
    /// `scaleDown`.
    pub scale_down: ScalingRules,
}

impl Default for Behavior {
    /// The API server's defaults for `behavior: {}`: up by 4 pods or 100% per 15 s, down by 100% per 15 s.
    fn default() -> Self {
        Self {
            scale_up: ScalingRules::default_scale_up(),
            scale_down: ScalingRules::default_scale_down(),
        }
    }
}

/// The rules of one direction.
#[derive(Clone, Debug, PartialEq)]
pub struct ScalingRules {
    /// `stabilizationWindowSeconds`; `None` only for scaling down, where the controller's flag applies.
    pub stabilization_window: Option<Duration>,
    /// `selectPolicy`.
    pub select_policy: SelectPolicy,
    /// `policies`; never empty after the API server's defaulting. With the queueing model, empty means no limit.
    pub policies: Vec<ScalingPolicy>,
    /// `tolerance`; with `None` the controller's flag applies.
    pub tolerance: Option<f64>,
}

impl ScalingRules {
    /// Returns the API server's defaults of `scaleUp`.
    pub fn default_scale_up() -> Self {
        Self {
            stabilization_window: Some(Duration::ZERO),
            select_policy: SelectPolicy::Max,
            policies: vec![
                ScalingPolicy {
                    amount: Amount::Pods(4),
                    period: Duration::from_secs(15),
                },
                ScalingPolicy {
                    amount: Amount::Percent(100),
                    period: Duration::from_secs(15),
                },
            ],
            tolerance: None,
        }
    }

    /// Returns the API server's defaults of `scaleDown`.
    pub fn default_scale_down() -> Self {
        Self {
            stabilization_window: None,
            select_policy: SelectPolicy::Max,
            policies: vec![ScalingPolicy {
                amount: Amount::Percent(100),
                period: Duration::from_secs(15),
            }],
            tolerance: None,
        }
    }

    /// Returns rules without a window and policies, the defaults of the queueing model.
    pub fn unlimited() -> Self {
        Self {
            stabilization_window: None,
            select_policy: SelectPolicy::Max,
            policies: Vec::new(),
            tolerance: None,
        }
    }

    /// Returns the longest period of all policies; zero without policies.
    pub(crate) fn longest_period(&self) -> Duration {
        self.policies
            .iter()
            .map(|policy| policy.period)
            .max()
            .unwrap_or_default()
    }
}

/// How several policies are combined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SelectPolicy {
    /// The policy that allows the largest change.
    Max,
    /// The policy that allows the smallest change.
    Min,
    /// No change in this direction.
    Disabled,
}

/// A limit for the change within a period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScalingPolicy {
    /// The largest change.
    pub amount: Amount,
    /// `periodSeconds`.
    pub period: Duration,
}

/// An amount of change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Amount {
    /// In pods.
    Pods(u32),
    /// In percent of the replicas at the start of the period.
    Percent(u32),
}
