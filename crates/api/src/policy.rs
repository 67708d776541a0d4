//! Converts a spec to the policy of the decision crate.

use std::time::Duration;

use pushscale_decision as decision;
use pushscale_decision::{
    Amount, Bounds, Latency, Percentile, Policy, TargetLatency, ViolationPrice,
};

use crate::behavior::{Behavior, PolicyType, ScalingRules, SelectPolicy};
use crate::duration::parse_positive;
use crate::metric::{Aggregate, MetricSpec};
use crate::problem::SpecProblem;
use crate::pushscaler::{Algorithm, Fallback, LoadBalancing, Mode, Pause, PushScalerSpec};
use crate::schedule::Schedules;

/// Returns the policy of a spec.
///
/// # Errors
///
/// Returns all problems of the spec at once.
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
        .map(|behavior| behavior_of(behavior, spec.algorithm, &mut problems));
    let fallback = spec
        .fallback
        .as_ref()
        .and_then(|fallback| fallback_of(fallback, &mut problems));
    let violation_price = match spec.pod_seconds_per_violation {
        None => ViolationPrice::default(),
        Some(pod_seconds) => violation_price_of(pod_seconds, &mut problems),
    };
    if let Some(schedules) = &spec.schedules
        && let Err(found) = Schedules::parse(schedules)
    {
        problems.extend(found);
    }
    match (bounds, metrics.first()) {
        (Some(bounds), Some(first)) if problems.is_empty() => Ok(Policy {
            algorithm: match spec.algorithm {
                Algorithm::Model => decision::Algorithm::Model,
                Algorithm::Ratio => decision::Algorithm::Ratio,
            },
            balancing: match spec.load_balancing {
                LoadBalancing::Random => decision::Balancing::Random,
                LoadBalancing::LeastRequest => decision::Balancing::LeastRequest,
            },
            mode: match spec.mode {
                Mode::Apply => decision::Mode::Apply,
                Mode::Recommend => decision::Mode::Recommend,
                Mode::Off => decision::Mode::Off,
            },
            paused: spec.pause.map(|pause| match pause {
                Pause::ScaleUp => decision::Direction::Up,
                Pause::ScaleDown => decision::Direction::Down,
            }),
            behavior,
            fallback,
            violation_price,
            metrics: metrics.clone(),
            ..Policy::new(bounds, first.target)
        }),
        _ => Err(problems),
    }
}

fn fallback_of(fallback: &Fallback, problems: &mut Vec<SpecProblem>) -> Option<decision::Fallback> {
    let after = u64::try_from(fallback.after_seconds).ok();
    let replicas = u32::try_from(fallback.replicas).ok();
    let Some((after, replicas)) = after.zip(replicas) else {
        problems.push(SpecProblem {
            field: "spec.fallback".to_owned(),
            found: format!("{} s, {}", fallback.after_seconds, fallback.replicas),
            expected: "a time and a replica count, both greater than 0",
        });
        return None;
    };
    Some(decision::Fallback {
        after: Duration::from_secs(after),
        replicas,
    })
}

fn violation_price_of(pod_seconds: i32, problems: &mut Vec<SpecProblem>) -> ViolationPrice {
    let price = u32::try_from(pod_seconds)
        .ok()
        .and_then(ViolationPrice::new);
    if price.is_none() {
        problems.push(SpecProblem {
            field: "spec.podSecondsPerViolation".to_owned(),
            found: pod_seconds.to_string(),
            expected: "a number of pod-seconds from 1 to 100000",
        });
    }
    price.unwrap_or_default()
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
            expected: "1 <= minReplicas <= maxReplicas",
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
    let mut duration = |field: &str, text: &str| {
        let nanos =
            parse_positive(text).and_then(|duration| i64::try_from(duration.as_nanos()).ok());
        if nanos.is_none() {
            problems.push(SpecProblem {
                field: format!("spec.metrics[{index}].queueLatency.{field}"),
                found: format!("{text:?}"),
                expected: "a duration greater than 0, such as 7ms",
            });
        }
        nanos
    };
    let target = duration("target", &source.target);
    let service = source
        .service_time
        .as_ref()
        .and_then(|text| duration("serviceTime", text));
    let percentile = source.percentile.and_then(|percent| {
        let percentile = Percentile::new(percent);
        if percentile.is_none() {
            problems.push(SpecProblem {
                field: format!("spec.metrics[{index}].queueLatency.percentile"),
                found: percent.to_string(),
                expected: "a percentile from 50 to 99",
            });
        }
        percentile
    });
    Some(decision::Metric {
        model: source.model.as_deref().map(Into::into),
        target: TargetLatency::new(Latency::from_nanos(target?))?,
        aggregate: match (percentile, source.aggregate) {
            (Some(percentile), _) => decision::Aggregate::Percentile(percentile),
            (None, Aggregate::Mean) => decision::Aggregate::Mean,
            (None, Aggregate::Max) => decision::Aggregate::Max,
            (None, Aggregate::P95) => decision::Aggregate::Percentile(Percentile::P95),
        },
        service_time: service
            .and_then(|nanos| u64::try_from(nanos).ok())
            .map(Duration::from_nanos),
        workers: source
            .workers
            .and_then(|workers| u32::try_from(workers).ok()),
    })
}

/// Absent rules have the API server's defaults with `Ratio`, and do not limit with `Model`.
fn behavior_of(
    behavior: &Behavior,
    algorithm: Algorithm,
    problems: &mut Vec<SpecProblem>,
) -> decision::Behavior {
    let (up, down) = match algorithm {
        Algorithm::Ratio => (
            decision::ScalingRules::default_scale_up(),
            decision::ScalingRules::default_scale_down(),
        ),
        Algorithm::Model => (
            decision::ScalingRules::unlimited(),
            decision::ScalingRules::unlimited(),
        ),
    };
    decision::Behavior {
        scale_up: rules_of("scaleUp", behavior.scale_up.as_ref(), up, problems),
        scale_down: rules_of("scaleDown", behavior.scale_down.as_ref(), down, problems),
    }
}

/// Returns the rules of one direction; absent fields are those of `default`.
fn rules_of(
    direction: &str,
    rules: Option<&ScalingRules>,
    default: decision::ScalingRules,
    problems: &mut Vec<SpecProblem>,
) -> decision::ScalingRules {
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
        .or(default.stabilization_window);
    let policies = match &rules.policies {
        None => default.policies,
        Some(policies) => policies
            .iter()
            .map(|policy| {
                let value = u32::try_from(policy.value).unwrap_or_default();
                decision::ScalingPolicy {
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
    decision::ScalingRules {
        stabilization_window: window,
        select_policy: match rules.select_policy {
            None => default.select_policy,
            Some(SelectPolicy::Max) => decision::SelectPolicy::Max,
            Some(SelectPolicy::Min) => decision::SelectPolicy::Min,
            Some(SelectPolicy::Disabled) => decision::SelectPolicy::Disabled,
        },
        policies,
        tolerance,
    }
}
