//! From what the user wrote to a policy that cannot be wrong.

use std::time::Duration;

use jiff::SignedDuration;
use pushscale_decision as decision;
use pushscale_decision::{Amount, Bounds, Latency, Policy, RatePolicy, Rules, Select, Target};
use thiserror::Error;

use crate::behavior::{Behavior, PolicyType, ScalingRules, SelectPolicy};
use crate::metric::MetricSpec;
use crate::pushscaler::PushScalerSpec;

/// One mistake in a spec. The API server refuses most of them already; an object that was stored under an
/// older definition can still hold one.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{field} is {found}: it must be {expected}")]
pub struct SpecProblem {
    /// The path of the field.
    pub field: String,
    /// What it holds.
    pub found: String,
    /// What it may hold.
    pub expected: &'static str,
}

/// The policy that a spec asks for.
///
/// # Errors
/// All mistakes at once.
pub fn policy_of(spec: &PushScalerSpec) -> Result<Policy, Vec<SpecProblem>> {
    let mut problems = Vec::new();
    let bounds = bounds_of(spec, &mut problems);
    let metrics: Vec<_> = spec
        .metrics
        .iter()
        .enumerate()
        .filter_map(|(index, metric)| metric_of(index, metric, &mut problems))
        .collect();
    if spec.metrics.is_empty() {
        problems.push(SpecProblem {
            field: "spec.metrics".to_owned(),
            found: "empty".to_owned(),
            expected: "a list of at least one metric",
        });
    }
    let behavior = spec
        .behavior
        .as_ref()
        .map(|behavior| behavior_of(behavior, &mut problems));
    match (bounds, metrics.first()) {
        (Some(bounds), Some(first)) if problems.is_empty() => Ok(Policy {
            behavior,
            ..Policy {
                metrics: metrics.clone(),
                ..Policy::new(bounds, first.target)
            }
        }),
        _ => Err(problems),
    }
}

fn bounds_of(spec: &PushScalerSpec, problems: &mut Vec<SpecProblem>) -> Option<Bounds> {
    let bounds = u32::try_from(spec.min_replicas)
        .ok()
        .zip(u32::try_from(spec.max_replicas).ok())
        .and_then(|(min, max)| Bounds::new(min, max));
    if bounds.is_none() {
        problems.push(SpecProblem {
            field: "spec.minReplicas and spec.maxReplicas".to_owned(),
            found: format!("{} and {}", spec.min_replicas, spec.max_replicas),
            expected: "such that 1 <= minReplicas <= maxReplicas",
        });
    }
    bounds
}

fn metric_of(
    index: usize,
    metric: &MetricSpec,
    problems: &mut Vec<SpecProblem>,
) -> Option<decision::Metric> {
    let source = &metric.queue_latency;
    let target = source
        .target
        .parse::<SignedDuration>()
        .ok()
        .and_then(|duration| i64::try_from(duration.as_nanos()).ok())
        .and_then(|nanos| Target::new(Latency::from_nanos(nanos)));
    if target.is_none() {
        problems.push(SpecProblem {
            field: format!("spec.metrics[{index}].queueLatency.target"),
            found: format!("{:?}", source.target),
            expected: "a duration greater than 0, such as 7ms",
        });
    }
    Some(decision::Metric {
        model: source.model.clone(),
        target: target?,
    })
}

fn behavior_of(behavior: &Behavior, problems: &mut Vec<SpecProblem>) -> decision::Behavior {
    decision::Behavior {
        up: rules_of(
            "scaleUp",
            behavior.scale_up.as_ref(),
            Rules::default_up(),
            problems,
        ),
        down: rules_of(
            "scaleDown",
            behavior.scale_down.as_ref(),
            Rules::default_down(),
            problems,
        ),
    }
}

/// The rules of one direction; what is not given is as the API server fills it in.
fn rules_of(
    direction: &str,
    rules: Option<&ScalingRules>,
    default: Rules,
    problems: &mut Vec<SpecProblem>,
) -> Rules {
    let Some(rules) = rules else { return default };
    let mut seconds = |field: &str, value: i32, most: u64| {
        let found = u64::try_from(value).ok().filter(|value| *value <= most);
        if found.is_none() {
            problems.push(SpecProblem {
                field: format!("spec.behavior.{direction}.{field}"),
                found: value.to_string(),
                expected: "a number of seconds within the range of autoscaling/v2",
            });
        }
        Duration::from_secs(found.unwrap_or_default())
    };
    let window = rules
        .stabilization_window_seconds
        .map(|value| seconds("stabilizationWindowSeconds", value, 3600))
        .or(default.window);
    let policies = match &rules.policies {
        None => default.policies,
        Some(policies) => policies
            .iter()
            .map(|policy| {
                let value = u32::try_from(policy.value).unwrap_or_default();
                RatePolicy {
                    amount: match policy.type_ {
                        PolicyType::Pods => Amount::Pods(value),
                        PolicyType::Percent => Amount::Percent(value),
                    },
                    period: seconds("policies[].periodSeconds", policy.period_seconds, 1800),
                }
            })
            .collect(),
    };
    let tolerance = rules.tolerance.as_ref().and_then(|tolerance| {
        let value = tolerance.as_f64();
        if value.is_none() {
            problems.push(SpecProblem {
                field: format!("spec.behavior.{direction}.tolerance"),
                found: format!("{tolerance:?}"),
                expected: "a quantity of 0 or more, such as 0.05 or 50m",
            });
        }
        value
    });
    Rules {
        window,
        select: match rules.select_policy {
            None => default.select,
            Some(SelectPolicy::Max) => Select::Max,
            Some(SelectPolicy::Min) => Select::Min,
            Some(SelectPolicy::Disabled) => Select::Disabled,
        },
        policies,
        tolerance,
    }
}
