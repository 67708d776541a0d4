//! `autoscaling/v2` behavior, field for field.

use std::time::Duration;

/// How fast the size may move in each direction.
#[derive(Clone, Debug, PartialEq)]
pub struct Behavior {
    /// `scaleUp`.
    pub scale_up: ScalingRules,
    /// `scaleDown`.
    pub scale_down: ScalingRules,
}

impl Default for Behavior {
    /// What the API server makes of `behavior: {}`: up by 4 pods or 100 % per 15 s, down by 100 % per 15 s.
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
    /// `stabilizationWindowSeconds`; `None` only downwards, where the controller's flag stands in.
    pub stabilization_window: Option<Duration>,
    /// `selectPolicy`.
    pub select_policy: SelectPolicy,
    /// `policies`; never empty after the API server's defaulting. With the queue model empty: no limit.
    pub policies: Vec<ScalingPolicy>,
    /// `tolerance`; `None`: the controller's flag stands in.
    pub tolerance: Option<f64>,
}

impl ScalingRules {
    /// `scaleUp` as the API server fills it in.
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

    /// `scaleDown` as the API server fills it in.
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

    /// No window and no policy: what the queue model starts from.
    pub fn unlimited() -> Self {
        Self {
            stabilization_window: None,
            select_policy: SelectPolicy::Max,
            policies: Vec::new(),
            tolerance: None,
        }
    }

    /// The longest period of any policy; zero if there is none.
    pub(crate) fn longest_period(&self) -> Duration {
        self.policies
            .iter()
            .map(|policy| policy.period)
            .max()
            .unwrap_or_default()
    }
}

/// Which policy of several applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SelectPolicy {
    /// The one that allows most change.
    Max,
    /// The one that allows least change.
    Min,
    /// No change in this direction.
    Disabled,
}

/// At most so much change in so much time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScalingPolicy {
    /// How much.
    pub amount: Amount,
    /// `periodSeconds`.
    pub period: Duration,
}

/// A change in size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Amount {
    /// In pods.
    Pods(u32),
    /// In percent of the size at the start of the period.
    Percent(u32),
}
