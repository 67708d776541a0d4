//! What all metrics ask for by the HPA's rule (the HPA's `replica_calculator.go`).

use crate::conditions::{Condition, Reason};
use crate::decision::{MetricValue, ScaleReason, Warning};
use crate::explain::metric as metric_name;
use crate::pass::{Pass, Proposal};
use crate::recommend::{Band, recommend};
use crate::step::Step;

impl Pass<'_> {
    /// The largest proposal of all metrics; `None` if they must not be acted on.
    pub(crate) fn propose_by_ratio(&mut self, current: u32) -> Option<Proposal> {
        let band = self.band();
        let mut best: Option<Proposal> = None;
        let mut first_problem: Option<String> = None;
        let mut pods_told = false;
        for index in 0..self.scaler.policy.metrics.len() {
            let scaler = &mut *self.scaler;
            let metric = &scaler.policy.metrics[index];
            let groups = &mut scaler.groups;
            groups.sort(scaler.fleet.pods(), self.now, metric);
            let steps = &mut scaler.decision.steps;
            if !pods_told || groups.silent > 0 {
                pods_told = true;
                steps.push(Step::Pods {
                    reporting: groups.reporting(),
                    silent: groups.silent,
                    pending: groups.pending,
                    ignored: groups.ignored,
                });
            }
            let here = (groups.reporting(), groups.reporting() + groups.silent);
            if self.quorum.is_none_or(|least| share(here) < share(least)) {
                self.quorum = Some(here);
            }
            let manner = scaler.policy.hpa_compatibility;
            match recommend(metric, groups, current, band, manner, steps) {
                Ok((proposed, average)) => {
                    scaler.decision.metrics.push(MetricValue {
                        model: metric.model.clone(),
                        average: average.mean,
                        target: metric.target.latency(),
                        proposed,
                    });
                    if best.as_ref().is_none_or(|best| proposed > best.replicas) {
                        best = Some(Proposal {
                            replicas: proposed,
                            why_more: ScaleReason::AboveTarget(metric.model.clone()),
                            up_to: u32::MAX,
                        });
                    }
                }
                Err(problem) => {
                    let problem = problem.problem();
                    steps.push(Step::MetricFailed {
                        model: metric.model.clone(),
                        problem,
                    });
                    let name = metric_name(metric.model.as_deref());
                    let message = format!("{name}: {problem}");
                    scaler.decision.warnings.push(Warning {
                        reason: Reason::FailedGetPodsMetric,
                        message: message.clone(),
                    });
                    first_problem.get_or_insert(message);
                }
            }
        }
        let best = self.settle(current, best, first_problem)?;
        if let ScaleReason::AboveTarget(model) = &best.why_more {
            Condition::set(
                &mut self.scaler.decision.conditions.scaling_active,
                true,
                Reason::ValidMetricFound,
                format_args!(
                    "a replica count was computed from {}",
                    metric_name(model.as_deref())
                ),
            );
        }
        Some(best)
    }

    fn band(&self) -> Band {
        let policy = &self.scaler.policy;
        let flag = policy.hpa_flags.tolerance;
        let behavior = policy.behavior.as_ref();
        Band {
            down: behavior
                .and_then(|b| b.scale_down.tolerance)
                .unwrap_or(flag),
            up: behavior.and_then(|b| b.scale_up.tolerance).unwrap_or(flag),
        }
    }
}

/// Of the pods that should report, those that do.
pub(crate) fn share((reporting, running): (u32, u32)) -> f64 {
    f64::from(reporting) / f64::from(running.max(1))
}
