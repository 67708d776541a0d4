//! The proposal by the HPA's ratio rule (the HPA's `replica_calculator.go`).

use crate::conditions::Reason;
use crate::decision::{MetricValue, ScaleReason, Warning};
use crate::explain::metric as metric_name;
use crate::pass::{Pass, Proposal};
use crate::recommend::{Band, recommend};
use crate::step::Step;

impl Pass<'_> {
    /// Returns the largest proposal of all metrics, or `None` if no proposal may be acted on.
    pub(crate) fn propose_by_ratio(&mut self, current: u32) -> Option<Proposal> {
        let band = self.band();
        let mut best: Option<Proposal> = None;
        let mut first_problem: Option<String> = None;
        let mut has_pods_step = false;
        for index in 0..self.scaler.policy.metrics.len() {
            let scaler = &mut *self.scaler;
            let metric = &scaler.policy.metrics[index];
            let groups = &mut scaler.groups;
            groups.sort(scaler.fleet.pods(), self.now, metric);
            let steps = &mut scaler.decision.steps;
            if !has_pods_step || groups.not_reporting > 0 {
                has_pods_step = true;
                steps.push(Step::PodGroups {
                    reporting: groups.reporting(),
                    not_reporting: groups.not_reporting,
                    pending: groups.pending,
                    ignored: groups.ignored,
                });
            }
            let reporting = (
                groups.reporting(),
                groups.reporting() + groups.not_reporting,
            );
            if self
                .quorum
                .is_none_or(|least| share(reporting) < share(least))
            {
                self.quorum = Some(reporting);
            }
            let compatibility = scaler.policy.hpa_compatibility;
            match recommend(metric, groups, current, band, compatibility, steps) {
                Ok((proposed, average)) => {
                    scaler.decision.metrics.push(MetricValue {
                        model: metric.model.clone(),
                        average: average.mean,
                        percentile: None,
                        target: metric.target.latency(),
                        proposed,
                    });
                    if best.as_ref().is_none_or(|best| proposed > best.replicas) {
                        best = Some(Proposal {
                            replicas: proposed,
                            scale_up_reason: ScaleReason::AboveTarget(metric.model.clone()),
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
        let best = self.check_proposal(current, best, first_problem)?;
        if let ScaleReason::AboveTarget(model) = &best.scale_up_reason {
            let name = metric_name(model.as_deref());
            let message = format_args!("replicas were computed from {name}");
            self.active(true, Reason::ValidMetricFound, message);
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

/// Returns the share of running pods that report.
pub(crate) fn share((reporting, running): (u32, u32)) -> f64 {
    f64::from(reporting) / f64::from(running.max(1))
}
