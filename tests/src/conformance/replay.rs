//! Replays a recorded case.

use std::time::Duration;

use pushscale_api::{Algorithm, MetricSpec, PushScalerSpec, ScaleTargetRef, policy_of};
use pushscale_cli::replay::CaseError;
use pushscale_decision::{
    Conditions, HpaCompatibility, HpaFlags, Latency, Metric, Moment, Outcome, PodUid, Policy,
    Scaler, Selector, TargetLatency, TargetState,
};

use super::case::{Case, CasePolicy, Fault, Step};
use super::difference::{Difference, Found};
use super::samples::{pod_of, reading_of};

/// Replays a case with `algorithm: Ratio` and returns the first difference.
///
/// # Errors
///
/// Fails if the case contradicts itself: an invalid policy, a pod listed twice, values of the other form.
pub fn replay(case: &Case) -> Result<Option<Difference>, CaseError> {
    let policy = policy_from(case, &case.policy, "policy")?;
    let mut replay = Replay {
        case,
        scaler: Scaler::new(policy.clone(), Conditions::default()),
        policy,
        replicas: 0,
    };
    for (index, step) in case.steps.iter().enumerate() {
        let difference = replay.pass(index, step)?;
        if difference.is_some() {
            return Ok(difference);
        }
    }
    Ok(None)
}

struct Replay<'a> {
    case: &'a Case,
    policy: Policy,
    scaler: Scaler,
    replicas: u32,
}

impl Replay<'_> {
    fn pass(&mut self, index: usize, step: &Step) -> Result<Option<Difference>, CaseError> {
        let now = Duration::try_from_secs_f64(step.at)
            .map(Moment::at)
            .map_err(|error| self.error(index, "at", error.to_string()))?;
        if step.restart {
            self.scaler = Scaler::new(self.policy.clone(), self.scaler.conditions().clone());
        }
        if let Some(edited) = &step.policy {
            self.policy = policy_from(self.case, edited, &format!("steps[{index}].policy"))?;
            self.scaler.set_policy(self.policy.clone());
        }
        for name in &step.metric_fault {
            let known = |metric: &Metric| metric.model.as_deref() == Some(name.as_str());
            if !self.policy.metrics.iter().any(known) {
                let problem = format!("{name} is not a metric of the policy");
                return Err(self.error(index, "metricFault", problem));
            }
        }
        if let Some(set) = step.spec_replicas {
            self.replicas = set;
        }
        let before = self.replicas;
        let uids = self.apply_pods(now, index, step)?;
        let decision = self.scaler.decide(now, &target_state(step, before)).clone();
        if let Outcome::Scale { from, to, .. } = decision.outcome {
            self.write(now, step.fault, from, to);
        }
        for uid in &uids {
            self.scaler.remove_pod(uid);
        }
        let found = Found::new(
            self.replicas,
            self.replicas != before,
            self.scaler.conditions(),
        );
        let expected = Found::recorded(&step.expect);
        Ok((found != expected).then(|| Difference {
            case: self.case.name.clone(),
            step: index,
            at: step.at,
            expected,
            found,
            decision,
        }))
    }

    fn write(&mut self, now: Moment, fault: Option<Fault>, from: u32, to: u32) {
        match fault {
            Some(Fault::WriteConflictAlways | Fault::WriteRejected) => {
                self.scaler.record_scale_failure("as recorded");
            }
            _ => {
                self.scaler.record_scale(now, from, to);
                self.replicas = to;
            }
        }
    }

    fn apply_pods(
        &mut self,
        now: Moment,
        index: usize,
        step: &Step,
    ) -> Result<Vec<PodUid>, CaseError> {
        let several = self
            .policy
            .metrics
            .iter()
            .any(|metric| metric.model.is_some());
        let mut uids: Vec<PodUid> = Vec::with_capacity(step.pods.len());
        for (number, pod) in step.pods.iter().enumerate() {
            let field = format!("pods[{number}]");
            let uid = PodUid::from(pod.name.as_str());
            if uids.contains(&uid) {
                let problem = format!("pod {} is listed twice", pod.name);
                return Err(self.error(index, &field, problem));
            }
            if several && pod.value_milli.is_some() {
                let problem = "it has valueMilli, but the policy has metrics: use valuesMilli";
                return Err(self.error(index, &field, problem));
            }
            if !several && !pod.values_milli.is_empty() {
                let problem = "it has valuesMilli, but the policy has targetMilli: use valueMilli";
                return Err(self.error(index, &field, problem));
            }
            self.scaler.apply_pod(now, uid.clone(), pod_of(pod));
            if let Some(reading) = reading_of(now, pod, step) {
                self.scaler
                    .learn(now, &uid, now, &reading)
                    .map_err(|rejection| self.error(index, &field, rejection.to_string()))?;
            }
            uids.push(uid);
        }
        Ok(uids)
    }

    fn error(&self, step: usize, field: &str, problem: impl Into<String>) -> CaseError {
        case_error(self.case, format!("steps[{step}].{field}"), problem.into())
    }
}

fn case_error(case: &Case, field: String, problem: String) -> CaseError {
    CaseError::Meaning {
        line: case.line,
        case: case.name.clone(),
        field,
        problem,
    }
}

/// Builds the policy from a public spec, so that its defaults and the parsing of the tolerance are tested too.
fn policy_from(case: &Case, policy: &CasePolicy, field: &str) -> Result<Policy, CaseError> {
    let wrong = |problem: String| case_error(case, field.to_owned(), problem);
    let targets: Vec<(Option<String>, i64)> = match (policy.target_milli, &policy.metrics) {
        (Some(target), metrics) if metrics.is_empty() => vec![(None, target)],
        (None, metrics) if !metrics.is_empty() => metrics
            .iter()
            .map(|metric| (Some(metric.name.clone()), metric.target_milli))
            .collect(),
        _ => return Err(wrong("give either targetMilli or metrics".to_owned())),
    };
    let any = ScaleTargetRef {
        api_version: "apps/v1".to_owned(),
        kind: "Deployment".to_owned(),
        name: "any".to_owned(),
    };
    // Any target will do: thousandths of an unknown unit are not a duration, and are set below.
    let metrics = targets
        .iter()
        .map(|(model, _)| MetricSpec::queue_latency("1ms", model.clone()))
        .collect();
    let spec = PushScalerSpec {
        min_replicas: policy.min_replicas,
        behavior: policy.behavior.clone(),
        algorithm: Algorithm::Ratio,
        ..PushScalerSpec::new(any, policy.max_replicas, metrics)
    };
    let mut found = policy_of(&spec).map_err(|problems| {
        let texts: Vec<_> = problems.iter().map(ToString::to_string).collect();
        wrong(texts.join("; "))
    })?;
    for (metric, (_, target)) in found.metrics.iter_mut().zip(&targets) {
        metric.target = TargetLatency::new(Latency::from_nanos(*target))
            .ok_or_else(|| wrong(format!("targetMilli is {target}: it must be 1 or more")))?;
    }
    found.hpa_flags = HpaFlags {
        tolerance: f64::from(case.controller.tolerance_milli) / 1000.0,
        downscale_stabilization: Duration::from_secs(
            case.controller.downscale_stabilization_seconds,
        ),
    };
    found.hpa_compatibility = HpaCompatibility::Exact;
    Ok(found)
}

fn target_state(step: &Step, replicas: u32) -> TargetState {
    let unreadable = |message: &str| TargetState::Unreadable {
        message: message.to_owned(),
    };
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
    TargetState::Known {
        replicas,
        existing: None,
        selector,
        deletes_slow_first: true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance::parse_case;

    const CONTROLLER: &str =
        r#"{"toleranceMilli":100,"downscaleStabilizationSeconds":0,"syncSeconds":15}"#;

    fn case(policy: &str, pods: &str, more: &str) -> Case {
        let text = format!(
            r#"{{"name":"x","policy":{{"minReplicas":1,"maxReplicas":9,{policy}}},"controller":{CONTROLLER},"steps":[{{"at":0,"specReplicas":2,"pods":[{pods}]{more},"expect":{{"desired":4,"patched":true,"conditions":{{"AbleToScale":"True/SucceededRescale","ScalingActive":"True/ValidMetricFound","ScalingLimited":"False/DesiredWithinRange"}}}}}}]}}"#
        );
        parse_case(3, &text).unwrap()
    }

    fn pod(name: &str, samples: &str) -> String {
        format!(r#"{{"name":"{name}","phase":"Running","ready":true,"deleting":false,{samples}}}"#)
    }

    const SEVERAL: &str =
        r#""metrics":[{"name":"m0","targetMilli":7},{"name":"m1","targetMilli":7}]"#;

    #[test]
    fn both_forms_are_replayed() {
        let lone = pod("a", r#""valueMilli":14"#) + "," + &pod("b", r#""valueMilli":14"#);
        let found = replay(&case(r#""targetMilli":7"#, &lone, "")).unwrap();
        assert!(found.is_none(), "{found:?}");
        let several = pod("a", r#""valuesMilli":{"m0":14,"m1":null}"#)
            + ","
            + &pod("b", r#""valuesMilli":{"m0":14,"m1":1}"#);
        let found = replay(&case(SEVERAL, &several, r#","metricFault":["m1"]"#)).unwrap();
        assert!(found.is_none(), "{found:?}");
    }

    #[test]
    fn a_difference_names_case_and_step_and_explains_the_decision() {
        let one = pod("a", r#""valueMilli":7"#);
        let found = replay(&case(r#""targetMilli":7"#, &one, "")).unwrap();
        let text = found.unwrap().to_string();
        for part in [
            "x at 0 s (steps[0])",
            "expected 4 written",
            "found    2 kept",
            "between 0.9",
        ] {
            assert!(text.contains(part), "{part:?} is not in {text}");
        }
    }

    #[test]
    fn contradicting_fields_are_named() {
        let lone = pod("a", r#""valueMilli":1"#);
        let twice = format!("{lone},{lone}");
        let named = pod("a", r#""valuesMilli":{"m0":1}"#);
        let both = format!(r#""targetMilli":7,{SEVERAL}"#);
        let cases = [
            (
                case(SEVERAL, &lone, ""),
                "steps[0].pods[0]: it has valueMilli",
            ),
            (
                case(r#""targetMilli":7"#, &named, ""),
                "steps[0].pods[0]: it has valuesMilli",
            ),
            (
                case(r#""targetMilli":7"#, &twice, ""),
                "steps[0].pods[1]: pod a is listed twice",
            ),
            (
                case(SEVERAL, &named, r#","metricFault":["m7"]"#),
                "steps[0].metricFault: m7 is not a metric",
            ),
            (
                case(&both, &named, ""),
                "policy: give either targetMilli or metrics",
            ),
            (
                case(r#""targetMilli":0"#, &lone, ""),
                "policy: targetMilli is 0",
            ),
        ];
        for (case, expected) in cases {
            let error = replay(&case).unwrap_err().to_string();
            assert_eq!(
                error
                    .strip_prefix("line 3 (x): ")
                    .map(|rest| rest.starts_with(expected)),
                Some(true),
                "{error}"
            );
        }
    }
}
