//! Explains the inputs of a plan.

use std::sync::Arc;
use std::time::Duration;

use crate::numbers::{to_duration, to_u32_saturating};
use crate::policy::Balancing;
use crate::step::Step;

use super::observe::Inputs;

impl Inputs<'_> {
    /// Adds the steps that lead to the need.
    pub(super) fn explain(&self, steps: &mut Vec<Step>) {
        let (situation, capacity, demand) = (&self.situation, &self.capacity, &self.demand);
        steps.push(Step::Arrivals {
            model: situation.metric.model.clone(),
            rate: demand.rate.now,
            window: Duration::from_secs(demand.rate.window),
            minute: demand.rate.slow,
        });
        if demand.setting.trend && demand.rate.ahead > demand.rate.now {
            steps.push(Step::Trend {
                rate: demand.rate.ahead,
                ahead: to_duration(demand.rate.lookahead),
                start_delay: to_duration(situation.delay),
                limit: demand.rate.trend_limit,
            });
        }
        steps.push(Step::Capacity {
            service: to_duration(capacity.service),
            workers: capacity.slots,
            utilisation: self.utilisation_for_wait,
            calibration: capacity.calibration,
            pooled: situation.balancing == Balancing::LeastRequest,
            sharing: capacity.sharing_pods(),
            aggregate: situation.metric.aggregate,
            target: situation.metric.target.latency(),
        });
        if let Some(estimate) = &self.percentile {
            steps.push(Step::WaitPercentile {
                aggregate: situation.metric.aggregate,
                wait: estimate.latency(),
                samples: estimate.samples,
                span: Duration::from_secs(estimate.seconds_covered()),
            });
        }
        let is_limited = self.utilisation < self.utilisation_for_wait;
        if let Some(limit) = capacity.queue_limit.filter(|_| is_limited) {
            steps.push(Step::QueueLimit {
                limit: to_u32_saturating(limit.round()),
                utilisation: self.utilisation,
            });
        }
        if let Some(batches) = capacity.batches {
            steps.push(Step::Batches {
                size: to_u32_saturating(batches.size.round()),
                single: to_duration(batches.single),
                growth: to_duration(batches.growth),
            });
        }
        if let Some(slowest) = &self.slowest {
            steps.push(Step::SlowestPods {
                pods: slowest.pods,
                slowest: Arc::clone(&slowest.slowest),
                slowdown: slowest.slowdown,
                kept: slowest.is_kept,
            });
        }
        if let Some(slots) = demand.batch_fill {
            steps.push(Step::BatchFill { slots });
        }
        steps.push(Step::Needed {
            pods: demand.pods,
            headroom: demand.setting.headroom,
            replicas: demand.replicas,
        });
        if let Some((before, now)) = self.vanished.filter(|_| situation.hold.is_none()) {
            steps.push(Step::DemandVanished { before, now });
        }
        self.explain_pods(steps);
    }

    /// Adds the steps that name pods.
    fn explain_pods(&self, steps: &mut Vec<Step>) {
        // The step of the slowest pods explains those that count.
        if let Some(slow) = self.slow_pod.as_ref().filter(|slow| !slow.counts) {
            steps.push(Step::SlowPod {
                pod: Arc::clone(&slow.pod),
                factor: slow.factor,
                waiting: slow.waiting,
            });
        }
        if let Some(uneven) = &self.uneven {
            steps.push(Step::UnevenLoad {
                idle: uneven.idle,
                pods: uneven.pods,
                unordered: self.backlog.unordered,
            });
        }
        if let Some(overloaded) = &self.overloaded {
            steps.push(Step::OverloadedPod {
                pod: Arc::clone(&overloaded.pod),
                rate: overloaded.rate.into(),
                waiting: overloaded.waiting,
            });
        }
    }
}
