//! The proposal of the queueing model: the largest plan of all models of all metrics.

use std::ops::Range;
use std::sync::Arc;

use crate::checkpoint::Checkpoint;
use crate::conditions::{Condition, Conditions, Reason};
use crate::decision::{MetricValue, ScaleReason, Warning};
use crate::explain::metric as metric_name;
use crate::latency::Latency;
use crate::model::{
    NoPlan, OverloadedPod, Plan, PlanReason, ReplacementPhase, Rule, Situation, SlowPod, UnevenLoad,
};
use crate::numbers::short;
use crate::pass::{Pass, Proposal};
use crate::propose_ratio::share;
use crate::step::Step;

impl Pass<'_> {
    /// Returns the largest proposal of all metrics, or `None` if no proposal may be acted on.
    pub(crate) fn propose_by_model(&mut self, current: u32) -> Option<Proposal> {
        let mut best: Option<Proposal> = None;
        let mut first_problem: Option<String> = None;
        let mut findings = Findings::default();
        for index in 0..self.scaler.policy.metrics.len() {
            match self.plan_metric(current, index, &mut findings) {
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
        findings.set_conditions(&mut self.scaler.decision.conditions);
        if let Some((ratio, _)) = findings.outside {
            self.is_outside_envelope = true;
            self.step(Step::OutsideEnvelope { ratio });
        }
        let best = self.check_proposal(current, best, first_problem)?;
        let message = format_args!("replicas were computed from arrivals and service times");
        self.active(true, Reason::ValidMetricFound, message);
        Some(best)
    }

    /// Returns the largest proposal of the models that one metric covers; only its steps are kept.
    fn plan_metric(
        &mut self,
        current: u32,
        index: usize,
        findings: &mut Findings,
    ) -> Result<Proposal, &'static str> {
        let (min, max) = (self.bounds().min(), self.bounds().max());
        let has_untracked = self.scaler.has_untracked_models(self.now);
        let scaler = &mut *self.scaler;
        let metric = &scaler.policy.metrics[index];
        let has_untracked = has_untracked && metric.model.is_none();
        findings.too_many_models |= has_untracked;
        let delay = scaler.start_delay.seconds();
        let steps = &mut scaler.decision.steps;
        let mut best: Option<Best> = None;
        let mut runner_up: Option<(Arc<str>, u32)> = None;
        let mut problem: Option<(NoPlan, Arc<str>)> = None;
        let mut has_pods_step = false;
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
                model.slow_above,
                &scaler.start_delay,
            );
            let reporting = (fleet_snapshot.reporting, fleet_snapshot.ready);
            if self
                .quorum
                .is_none_or(|least| share(reporting) < share(least))
            {
                self.quorum = Some(reporting);
            }
            if !has_pods_step {
                has_pods_step = true;
                steps.push(Step::Pods {
                    ready: fleet_snapshot.ready,
                    reporting: fleet_snapshot.reporting,
                    starting: u32::try_from(fleet_snapshot.starting.len()).unwrap_or(u32::MAX),
                });
            }
            let from = steps.len();
            let situation = Situation {
                now: self.now,
                current,
                min,
                max,
                metric,
                balancing: scaler.policy.balancing,
                delay,
                hold: scaler
                    .policy
                    .behavior
                    .as_ref()
                    .and_then(|behavior| behavior.scale_down.stabilization_window),
                violation_price: scaler.policy.violation_price,
                replaces_slow: self.replaces_slow && Rule::Replacement.applies(),
            };
            match model.plan(&situation, fleet_snapshot, steps) {
                Ok(plan) => {
                    findings.add(&plan, &model.name);
                    let more = best.as_ref().is_none_or(|best| plan.pods > best.plan.pods);
                    let smaller = if more {
                        let length = steps.len() - from;
                        let smaller = best.map(|best| {
                            steps.drain(best.steps);
                            (best.model, best.plan.pods)
                        });
                        let end = steps.len();
                        best = Some(Best {
                            plan,
                            steps: end - length..end,
                            model: Arc::clone(&model.name),
                            wait: fleet_snapshot.wait,
                        });
                        smaller
                    } else {
                        steps.truncate(from);
                        Some((Arc::clone(&model.name), plan.pods))
                    };
                    if smaller.as_ref().map(|(_, pods)| pods)
                        > runner_up.as_ref().map(|(_, pods)| pods)
                    {
                        runner_up = smaller;
                    }
                }
                Err(error) => {
                    steps.truncate(from);
                    if let Some(incomplete) = error.describe()
                        && model.has_arrivals()
                    {
                        findings.incomplete(incomplete, &model.name);
                    }
                    problem.get_or_insert_with(|| (error, Arc::clone(&model.name)));
                }
            }
        }
        let Some(Best {
            plan, model, wait, ..
        }) = best
        else {
            let no_models = scaler.models.is_empty().then_some(NoPlan::NotReporting);
            return Err(problem
                .map(|(problem, _)| problem)
                .or(no_models)
                .map_or("no pod reports this model", NoPlan::problem));
        };
        if let Some((model, replicas)) = runner_up {
            steps.push(Step::RunnerUp { model, replicas });
        }
        // If another model of the metric has no plan, this one must not scale down on its own.
        let mut pods = plan.pods;
        if problem.is_some() || has_untracked {
            pods = pods.max(current);
        }
        if has_untracked && pods > plan.pods {
            steps.push(Step::TooManyModels { replicas: pods });
        }
        if let Some((problem, model)) = problem.filter(|_| pods > plan.pods) {
            steps.push(Step::ModelWithoutPlan {
                model,
                problem: problem.problem(),
                replicas: pods,
            });
        }
        scaler.decision.metrics.push(MetricValue {
            model: metric.model.clone(),
            average: wait
                .and_then(Latency::from_secs_f64)
                .unwrap_or(Latency::ZERO),
            percentile: plan.percentile.map(|estimate| estimate.latency()),
            target: metric.target.latency(),
            proposed: pods,
        });
        let name = (scaler.models.len() > 1 || metric.model.is_some()).then_some(model);
        Ok(Proposal {
            replicas: pods,
            scale_up_reason: match plan.reason {
                PlanReason::Demand => ScaleReason::MoreDemand(name),
                PlanReason::Backlog => ScaleReason::Backlog(name),
                PlanReason::RiseExpected => ScaleReason::RiseExpected(name),
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

/// What the plans reveal about the metrics themselves.
#[derive(Default)]
struct Findings {
    planned: bool,
    /// The reason and the message of the condition, and the model.
    incomplete: Option<(Reason, &'static str, Arc<str>)>,
    too_many_models: bool,
    stuck: Option<Arc<str>>,
    batch_delay: Option<(f64, Arc<str>)>,
    slow_pod: Option<(SlowPod, Arc<str>)>,
    uneven: Option<(UnevenLoad, Arc<str>)>,
    overloaded: Option<(OverloadedPod, Arc<str>)>,
    vanished: Option<(f64, f64, Arc<str>)>,
    outside: Option<(f64, Arc<str>)>,
}

impl Findings {
    fn add(&mut self, plan: &Plan, model: &Arc<str>) {
        self.planned = true;
        if let Some(incomplete) = plan.incomplete {
            self.incomplete(incomplete.describe(), model);
        }
        if plan.stuck {
            self.stuck.get_or_insert_with(|| Arc::clone(model));
        }
        if let (None, Some(delay)) = (&self.batch_delay, plan.batch_delay_above) {
            self.batch_delay = Some((delay, Arc::clone(model)));
        }
        if let (None, Some(slow)) = (&self.slow_pod, &plan.slow_pod) {
            self.slow_pod = Some((slow.clone(), Arc::clone(model)));
        }
        if let (None, Some(uneven)) = (&self.uneven, &plan.uneven) {
            self.uneven = Some((uneven.clone(), Arc::clone(model)));
        }
        if let (None, Some(overloaded)) = (&self.overloaded, &plan.overloaded) {
            self.overloaded = Some((overloaded.clone(), Arc::clone(model)));
        }
        if let (None, Some((before, now))) = (&self.vanished, plan.vanished) {
            self.vanished = Some((before, now, Arc::clone(model)));
        }
        if let (None, Some(ratio)) = (&self.outside, plan.outside) {
            self.outside = Some((ratio, Arc::clone(model)));
        }
    }

    fn incomplete(&mut self, (reason, problem): (Reason, &'static str), model: &Arc<str>) {
        self.incomplete
            .get_or_insert_with(|| (reason, problem, Arc::clone(model)));
    }

    fn set_conditions(&self, conditions: &mut Conditions) {
        let slot = &mut conditions.metrics_incomplete;
        match &self.incomplete {
            _ if self.too_many_models => Condition::set(
                slot,
                true,
                Reason::TooManyModels,
                format_args!(
                    "the pods report more than {} models and the fleet does not scale down: name the models to scale by in spec.metrics",
                    Checkpoint::MAX_MODELS
                ),
            ),
            _ if !self.planned => *slot = None,
            None => {
                let message =
                    format_args!("arrivals, completions, service times and queue depths are known");
                Condition::set(slot, false, Reason::AllMetricsAvailable, message);
            }
            Some((reason, problem, model)) => {
                Condition::set(
                    slot,
                    true,
                    *reason,
                    format_args!("model {model}: {problem}"),
                );
            }
        }
        // Without a plan, as when all readings are too old, nothing is known about the other conditions: they stay.
        if !self.planned {
            return;
        }
        match &self.stuck {
            Some(model) => Condition::set(
                &mut conditions.stuck,
                true,
                Reason::NoRequestsCompleted,
                format_args!("model {model}: requests arrive and none completes"),
            ),
            None if conditions.stuck.is_some() => Condition::set(
                &mut conditions.stuck,
                false,
                Reason::RequestsCompleting,
                format_args!("requests complete again"),
            ),
            None => {}
        }
        match &self.batch_delay {
            Some((delay, model)) => Condition::set(
                &mut conditions.target_reachable,
                false,
                Reason::BatchDelayAboveTarget,
                format_args!(
                    "model {model}: the server waits up to {} ms for a batch to fill, longer than the target latency: lower maxBatchDelay or raise the target",
                    (delay * 1e3).round()
                ),
            ),
            None if conditions.target_reachable.is_some() => Condition::set(
                &mut conditions.target_reachable,
                true,
                Reason::TargetWithinReach,
                format_args!("the target latency can be met again"),
            ),
            None => {}
        }
        match &self.vanished {
            Some((before, now, model)) => Condition::set(
                &mut conditions.demand_vanished,
                true,
                Reason::ArrivalsStopped,
                format_args!(
                    "model {model}: arrivals fell from {}/s to {}/s at all pods within a minute, which may be an outage of an ingress, of DNS or of a client: replicas are held for up to 20 minutes, unless spec.behavior sets stabilizationWindowSeconds",
                    short(*before),
                    short(*now)
                ),
            ),
            None if conditions.demand_vanished.is_some() => Condition::set(
                &mut conditions.demand_vanished,
                false,
                Reason::ArrivalsUsual,
                format_args!("requests arrive again, or have been absent for the whole hold"),
            ),
            None => {}
        }
        match &self.outside {
            Some((ratio, model)) => Condition::set(
                &mut conditions.outside_envelope,
                true,
                Reason::WaitsUnexplained,
                format_args!(
                    "model {model}: requests waited longer than the target, and {ratio:.0} times as long as the queueing formula predicts, which is corrected by up to 3 times: scale-downs are recommended and not applied until the formula explains the waits; check that loadBalancing is that of the load balancer and whether pods share a device, or use algorithm: Ratio"
                ),
            ),
            None if conditions.outside_envelope.is_some() => Condition::set(
                &mut conditions.outside_envelope,
                false,
                Reason::WaitsExplained,
                format_args!(
                    "the queueing formula explains the waits, or hardly any request waits"
                ),
            ),
            None => {}
        }
        self.set_pod_conditions(conditions);
    }

    /// Sets the conditions that name pods.
    fn set_pod_conditions(&self, conditions: &mut Conditions) {
        match &self.slow_pod {
            Some((slow, model)) => {
                let SlowPod {
                    pod,
                    factor,
                    waiting,
                    ..
                } = slow;
                let slot = &mut conditions.pod_outlier;
                let advice = advice(slow);
                if factor.is_finite() {
                    Condition::set(
                        slot,
                        true,
                        Reason::SlowPod,
                        format_args!(
                            "model {model}: pod {pod} takes {factor:.0} times as long per request as the other pods, and {waiting} requests wait in it{advice}"
                        ),
                    );
                } else {
                    Condition::set(
                        slot,
                        true,
                        Reason::HungPod,
                        format_args!(
                            "model {model}: pod {pod} completes no requests, and {waiting} wait in it{advice}"
                        ),
                    );
                }
            }
            None if conditions.pod_outlier.is_some() => Condition::set(
                &mut conditions.pod_outlier,
                false,
                Reason::PodsAlike,
                format_args!("no pod is much slower than the others"),
            ),
            None => {}
        }
        match (&self.uneven, &self.overloaded) {
            (Some((uneven, model)), _) => {
                let UnevenLoad {
                    idle,
                    pods,
                    pod,
                    rate,
                    mean,
                } = uneven;
                Condition::set(
                    &mut conditions.load_uneven,
                    true,
                    Reason::IdlePods,
                    format_args!(
                        "model {model}: {idle} of {pods} pods get hardly any requests (pod {pod} {rate:.1}/s, mean {mean:.1}/s), so the others are overloaded and more pods do not help: use least-request load balancing, and limit the age of connections"
                    ),
                );
            }
            (None, Some((overloaded, model))) => {
                let OverloadedPod {
                    pod,
                    rate,
                    mean,
                    waiting,
                } = overloaded;
                Condition::set(
                    &mut conditions.load_uneven,
                    true,
                    Reason::OverloadedPod,
                    format_args!(
                        "model {model}: pod {pod} gets {rate:.1}/s (mean {mean:.1}/s), more than it can serve, and {waiting} requests wait in it, which more pods do not serve: use least-request load balancing, and limit the age of connections"
                    ),
                );
            }
            (None, None) if conditions.load_uneven.is_some() => Condition::set(
                &mut conditions.load_uneven,
                false,
                Reason::LoadBalanced,
                format_args!("enough pods receive requests"),
            ),
            (None, None) => {}
        }
    }
}

/// Returns what to do about a slow pod. The decision deletes one that it replaces.
fn advice(slow: &SlowPod) -> &'static str {
    match slow.replacement {
        Some(ReplacementPhase::Ordered) => {
            "; a replacement is starting; once it is ready, a scale-down deletes slow pods first"
        }
        Some(ReplacementPhase::Ready { .. }) => {
            "; its replacement is ready; the next scale-down deletes slow pods first"
        }
        None if slow.counts => ": delete the pod, or run all pods on the same kind of node",
        None => "; additional pods cannot serve them: delete the pod",
    }
}
