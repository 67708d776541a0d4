//! Decides a recorded case again.

use std::collections::BTreeMap;
use std::time::Duration;

use pushscale_api::{
    Algorithm, MetricSpec, MetricType, PushScalerSpec, QueueLatencySource, ScaleTargetRef,
    policy_of,
};
use pushscale_decision::{
    Condition, Conditions, Flags, Latency, Manner, ModelReading, Moment, Outcome, Phase, Pod,
    PodUid, Policy, Reading, Scaler, Selector, ServerState, Target, TargetFacts,
};

use super::case::{Case, CasePhase, CasePod, CasePolicy, Controller, Fault, Step};

/// The first difference between the recording and our decisions, if there is one.
pub(crate) fn replay(case: &Case) -> Option<String> {
    let mut policy = policy_from(&case.policy, &case.controller);
    let mut scaler = Scaler::new(policy.clone(), Conditions::default());
    let mut replicas = 0;
    for (index, step) in case.steps.iter().enumerate() {
        let now = Moment::at(Duration::from_secs_f64(step.at));
        if step.restart {
            scaler = Scaler::new(policy.clone(), scaler.conditions().clone());
        }
        if let Some(edited) = &step.policy {
            policy = policy_from(edited, &case.controller);
            scaler.set_policy(policy.clone());
        }
        if let Some(set) = step.spec_replicas {
            replicas = set;
        }
        let before = replicas;
        let uids = tell_pods(&mut scaler, now, index, &step.pods);
        let decision = scaler.decide(now, &target_facts(step, replicas));
        if let Outcome::Scale { from, to, .. } = decision.outcome {
            match step.fault {
                Some(Fault::WriteConflictAlways | Fault::WriteRefused) => {
                    scaler.failed_to_write("as recorded");
                }
                _ => {
                    scaler.wrote(now, from, to);
                    replicas = to;
                }
            }
        }
        for uid in &uids {
            scaler.forget_pod(uid);
        }
        let found = (replicas, replicas != before, written(scaler.conditions()));
        // ScaledToZero is the HPA's alone: we have no scaling to zero.
        let mut conditions = step.expect.conditions.clone();
        conditions.remove("ScaledToZero");
        let expected = (step.expect.desired, step.expect.patched, conditions);
        if found != expected {
            return Some(format!(
                "{} at {} s (step {index}):\n  found    {found:?}\n  expected {expected:?}\n  {decision}",
                case.name, step.at
            ));
        }
    }
    None
}

fn policy_from(policy: &CasePolicy, controller: &Controller) -> Policy {
    // Through the public spec, so that the defaults and the tolerance's reading are under test as well.
    let spec = PushScalerSpec {
        scale_target_ref: ScaleTargetRef {
            api_version: "apps/v1".to_owned(),
            kind: "Deployment".to_owned(),
            name: "any".to_owned(),
        },
        min_replicas: policy.min_replicas,
        max_replicas: policy.max_replicas,
        metrics: vec![MetricSpec {
            type_: MetricType::QueueLatency,
            queue_latency: QueueLatencySource {
                target: "1ms".to_owned(),
                model: None,
            },
        }],
        behavior: policy.behavior.clone(),
        algorithm: Algorithm::Ratio,
    };
    let mut found = policy_of(&spec).unwrap();
    found.metrics[0].target = Target::new(Latency::from_nanos(policy.target_milli)).unwrap();
    found.flags = Flags {
        tolerance: f64::from(controller.tolerance_milli) / 1000.0,
        downscale_stabilization: Duration::from_secs(controller.downscale_stabilization_seconds),
    };
    found.manner = Manner::Hpa;
    found
}

fn tell_pods(scaler: &mut Scaler, now: Moment, index: usize, pods: &[CasePod]) -> Vec<PodUid> {
    let mut uids = Vec::new();
    for pod in pods {
        let uid = PodUid::from(pod.name.as_str());
        scaler.apply_pod(
            uid.clone(),
            Pod {
                name: pod.name.clone(),
                phase: match pod.phase {
                    CasePhase::Pending => Phase::Pending,
                    CasePhase::Running => Phase::Running,
                    CasePhase::Succeeded => Phase::Succeeded,
                    CasePhase::Failed => Phase::Failed,
                    CasePhase::Unknown => Phase::Unknown,
                },
                ready: pod.ready,
                deleting: pod.deleting,
            },
        );
        if let Some(value) = pod.value_milli {
            let reading = Reading {
                taken: now,
                source: 1,
                sequence: index as u64,
                clock: now.since_origin(),
                fresh_for: Duration::from_secs(3),
                leaving: false,
                server: ServerState::Ready,
                models: vec![ModelReading {
                    name: "any".to_owned(),
                    queue_latency: Some(Latency::from_nanos(value)),
                }],
            };
            scaler.learn(now, &uid, reading).unwrap();
        }
        uids.push(uid);
    }
    uids
}

fn target_facts(step: &Step, replicas: u32) -> TargetFacts {
    let selector = match step.fault {
        Some(Fault::KindUnknown) => return unreadable("no such kind"),
        Some(Fault::TargetMissing) => return unreadable("not found"),
        Some(Fault::SelectorEmpty) => Selector::Missing,
        Some(Fault::SelectorInvalid) => Selector::Invalid {
            message: "as recorded".to_owned(),
        },
        Some(Fault::SelectorShared) => Selector::Shared {
            with: "another".to_owned(),
        },
        _ => Selector::Usable,
    };
    TargetFacts::Known { replicas, selector }
}

fn unreadable(message: &str) -> TargetFacts {
    TargetFacts::Unreadable {
        message: message.to_owned(),
    }
}

fn written(conditions: &Conditions) -> BTreeMap<String, String> {
    let Conditions {
        able_to_scale,
        scaling_active,
        scaling_limited,
        fresh: _,
    } = conditions;
    [
        ("AbleToScale", able_to_scale),
        ("ScalingActive", scaling_active),
        ("ScalingLimited", scaling_limited),
    ]
    .into_iter()
    .filter_map(|(kind, condition)| {
        let Condition { status, reason, .. } = condition.as_ref()?;
        let status = if *status { "True" } else { "False" };
        Some((kind.to_owned(), format!("{status}/{}", reason.as_str())))
    })
    .collect()
}
