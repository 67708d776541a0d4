//! What all metrics ask for by the queue model: for each model of a pod its own pods, and the most of them.

use std::ops::Range;
use std::sync::Arc;

use crate::conditions::{Condition, Conditions, Reason};
use crate::decision::{MetricValue, ScaleReason, Warning};
use crate::explain::metric as metric_name;
use crate::latency::Latency;
use crate::model::{Incomplete, NoPlan, Plan, PlanReason, Situation};
use crate::pass::{Pass, Proposal};
use crate::propose_ratio::share;
use crate::step::Step;

impl Pass<'_> {
    /// The largest plan of all metrics; `None` if they must not be acted on.
    pub(crate) fn propose_by_model(&mut self, current: u32) -> Option<Proposal> {
        let mut best: Option<Proposal> = None;
        let mut first_problem: Option<String> = None;
        let mut told = Told::default();
        for index in 0..self.scaler.policy.metrics.len() {
            match self.plan_metric(current, index, &mut told) {
                Ok(proposal) => {
                    if best
                        .as_ref()
                        .is_none_or(|best| proposal.replicas > best.replicas)
                    {
                        best = Some(proposal);
                    }
                }
                Err(problem) => {
                    let decision = &mut self.scaler.decision;
                    let model = self.scaler.policy.metrics[index].model.clone();
                    let message = format!("{}: {problem}", metric_name(model.as_deref()));
                    decision.steps.push(Step::MetricFailed { model, problem });
                    decision.warnings.push(Warning {
                        reason: Reason::FailedGetPodsMetric,
                        message: message.clone(),
                    });
                    first_problem.get_or_insert(message);
                }
            }
        }
        told.tell(&mut self.scaler.decision.conditions);
        let best = self.settle(current, best, first_problem)?;
        Condition::set(
            &mut self.scaler.decision.conditions.scaling_active,
            true,
            Reason::ValidMetricFound,
            format_args!("a replica count was computed from arrivals and service times"),
        );
        Some(best)
    }

    /// The largest plan of the models that one metric is about. Only its steps stay.
    fn plan_metric(
        &mut self,
        current: u32,
        index: usize,
        told: &mut Told,
    ) -> Result<Proposal, &'static str> {
        let most = self.bounds().max();
        let scaler = &mut *self.scaler;
        let metric = &scaler.policy.metrics[index];
        let delay = scaler.start_delay.seconds();
        let steps = &mut scaler.decision.steps;
        let mut best: Option<Best> = None;
        let mut problem: Option<NoPlan> = None;
        let mut pods_told = None;
        for (slot, model) in scaler.models.iter_mut().enumerate() {
            if metric
                .model
                .as_ref()
                .is_some_and(|name| *name != model.name)
            {
                continue;
            }
            let fleet_snapshot = &mut scaler.fleet_snapshot;
            fleet_snapshot.take(
                scaler.fleet.pods(),
                self.now,
                slot,
                &model.name,
                &scaler.start_delay,
            );
            let here = (fleet_snapshot.told, fleet_snapshot.ready);
            if self.quorum.is_none_or(|least| share(here) < share(least)) {
                self.quorum = Some(here);
            }
            if pods_told.is_none() {
                pods_told = Some(steps.len());
                steps.push(Step::Serving {
                    ready: fleet_snapshot.ready,
                    reporting: fleet_snapshot.told,
                    starting: u32::try_from(fleet_snapshot.starting.len()).unwrap_or(u32::MAX),
                });
            }
            let from = steps.len();
            let situation = Situation {
                now: self.now,
                current,
                most,
                metric,
                balancing: scaler.policy.balancing,
                delay,
                hold: scaler
                    .policy
                    .behavior
                    .as_ref()
                    .and_then(|behavior| behavior.scale_down.stabilization_window),
            };
            match model.plan(&situation, fleet_snapshot, steps) {
                Ok(plan) => {
                    told.note(&plan, &model.name);
                    let more = best.as_ref().is_none_or(|best| plan.pods > best.plan.pods);
                    if more {
                        let length = steps.len() - from;
                        if let Some(best) = best {
                            steps.drain(best.steps);
                        }
                        let end = steps.len();
                        best = Some(Best {
                            plan,
                            steps: end - length..end,
                            model: Arc::clone(&model.name),
                            wait: fleet_snapshot.wait,
                        });
                    } else {
                        steps.truncate(from);
                    }
                }
                Err(why) => {
                    steps.truncate(from);
                    problem.get_or_insert(why);
                }
            }
        }
        let Some(Best {
            plan, model, wait, ..
        }) = best
        else {
            let nobody = scaler.models.is_empty().then_some(NoPlan::NobodyReports);
            return Err(problem
                .or(nobody)
                .map_or("no pod tells of such a model", NoPlan::problem));
        };
        // A model that cannot be planned for, beside one that can: the size must not fall on the other's word alone.
        let mut pods = plan.pods;
        if problem.is_some() {
            pods = pods.max(current);
        }
        scaler.decision.metrics.push(MetricValue {
            model: metric.model.clone(),
            average: wait
                .and_then(Latency::from_secs_f64)
                .unwrap_or(Latency::ZERO),
            target: metric.target.latency(),
            proposed: pods,
        });
        let name = (scaler.models.len() > 1 || metric.model.is_some()).then_some(model);
        Ok(Proposal {
            replicas: pods,
            why_more: match plan.reason {
                PlanReason::Demand => ScaleReason::MoreDemand(name),
                PlanReason::Backlog => ScaleReason::Backlog(name),
                PlanReason::Burst => ScaleReason::BurstExpected(name),
            },
            up_to: plan.up_to,
        })
    }
}

/// The largest plan so far, and where its steps are.
struct Best {
    plan: Plan,
    steps: Range<usize>,
    model: Arc<str>,
    wait: Option<f64>,
}

/// What the plans found out about the metrics themselves.
#[derive(Default)]
struct Told {
    planned: bool,
    incomplete: Option<(Incomplete, Arc<str>)>,
    stuck: Option<Arc<str>>,
    batch_delay: Option<(f64, Arc<str>)>,
}

impl Told {
    fn note(&mut self, plan: &Plan, model: &Arc<str>) {
        self.planned = true;
        if let (None, Some(incomplete)) = (&self.incomplete, plan.incomplete) {
            self.incomplete = Some((incomplete, Arc::clone(model)));
        }
        if plan.stuck {
            self.stuck.get_or_insert_with(|| Arc::clone(model));
        }
        if let (None, Some(delay)) = (&self.batch_delay, plan.batch_delay_above) {
            self.batch_delay = Some((delay, Arc::clone(model)));
        }
    }

    fn tell(&self, conditions: &mut Conditions) {
        let slot = &mut conditions.metrics_incomplete;
        match &self.incomplete {
            None if !self.planned => *slot = None,
            None => Condition::set(
                slot,
                false,
                Reason::AllMetricsAvailable,
                format_args!("arrivals, answers, service times and queues are known"),
            ),
            Some((Incomplete::CompletionCountUnavailable, model)) => Condition::set(
                slot,
                true,
                Reason::CompletionCountUnavailable,
                format_args!(
                    "model {model}: nobody counts answers: let the sidecar read the management port; until then the latency guards"
                ),
            ),
            Some((Incomplete::UntimedCompletions, model)) => Condition::set(
                slot,
                true,
                Reason::UntimedCompletions,
                format_args!(
                    "model {model}: the server times fewer answers than it gives (gRPC, or failures): its own measure of service times is used"
                ),
            ),
            Some((Incomplete::WorkerCountUnknown, model)) => Condition::set(
                slot,
                true,
                Reason::WorkerCountUnknown,
                format_args!(
                    "model {model}: nobody tells how many workers a pod has: let the sidecar read the management port, or set queueLatency.workers"
                ),
            ),
        }
        match &self.stuck {
            Some(model) => Condition::set(
                &mut conditions.stuck,
                true,
                Reason::NoRequestsCompleted,
                format_args!("model {model}: requests arrive and none is answered"),
            ),
            None if conditions.stuck.is_some() => Condition::set(
                &mut conditions.stuck,
                false,
                Reason::RequestsCompleting,
                format_args!("requests are answered again"),
            ),
            None => {}
        }
        match &self.batch_delay {
            Some((delay, model)) => Condition::set(
                &mut conditions.target_reachable,
                false,
                Reason::BatchDelayAboveTarget,
                format_args!(
                    "model {model}: the server waits up to {} ms for a batch to fill, longer than the target: lower maxBatchDelay or raise the target",
                    (delay * 1e3).round()
                ),
            ),
            None if conditions.target_reachable.is_some() => Condition::set(
                &mut conditions.target_reachable,
                true,
                Reason::TargetWithinReach,
                format_args!("the target is within reach again"),
            ),
            None => {}
        }
    }
}
