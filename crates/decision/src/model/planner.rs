//! Computes the pods that one model needs.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use crate::policy::Balancing;
use crate::step::{BacklogBound, Step};

use super::arrivals::Rate;
use super::backlog::{Backlog, BacklogInputs};
use super::calibration;
use super::capacity::Capacity;
use super::evidence::VIOLATION_FACTOR;
use super::fleet_snapshot::FleetSnapshot;
use super::hold_backtest::{HoldSetting, INTERVAL, Need};
use super::plan::{NoPlan, Plan, PlanReason, Situation};
use super::pod_balance::{self, OverloadedPod, SlowPod, UnevenLoad};
use super::queueing::Wait;
use super::rules::Rule;
use super::safeguards::Symptoms;
use super::state::ModelState;
use crate::numbers::to_u32_saturating;

/// The seconds of arrivals that a plan needs.
const MIN_SECONDS: f64 = 5.0;

/// A fleet without requests for this many seconds is idle, even with an unknown service time.
const IDLE_SECONDS: f64 = 60.0;

/// The hold after a start (docs/ALGORITHM-DETAILS.md, I0).
const HOLD_AFTER_START: Duration = Duration::from_secs(300);

/// For a backlog, at most this multiple of the pods that the arrival rate needs is ordered (docs/ALGORITHM-DETAILS.md,
/// I3).
const MAX_ORDER: f64 = 3.0;

/// The maximum number of seconds that one plan learns from: the longest scrape interval. In a longer gap nothing was
/// observed.
const MAX_ELAPSED: u64 = 60;

/// The need for the arrival rate.
#[derive(Clone, Copy, Debug)]
struct Demand {
    rate: Rate,
    need: Need,
    setting: HoldSetting,
    /// Pods as a fractional number, and whole replicas with head-room.
    pods: f64,
    replicas: u32,
    /// The offered load, in fully utilised pods.
    offered: f64,
    /// The in-flight requests that a pod is assumed to process, if this determines the need because no pod was
    /// saturated yet.
    batch_fill: Option<u32>,
}

impl ModelState {
    /// Returns the plan for this model, and adds its steps.
    pub(crate) fn plan(
        &mut self,
        situation: &Situation<'_>,
        fleet_snapshot: &mut FleetSnapshot,
        steps: &mut Vec<Step>,
    ) -> Result<Plan, NoPlan> {
        self.second_buckets.set_expected_pods(fleet_snapshot.ready);
        if fleet_snapshot.reporting == 0 {
            return Err(NoPlan::NotReporting);
        }
        let second = self.second_buckets.now();
        let passed = self.update(second, situation.delay);
        if self.second_buckets.window(60).seconds < MIN_SECONDS {
            return Err(NoPlan::TooSoon);
        }
        self.started.get_or_insert((second, situation.current));
        self.learn_workers(situation.metric, fleet_snapshot);
        let (slots, workers_known) = self.slots(situation.metric, fleet_snapshot);
        fleet_snapshot.count_waiting(slots);
        let missing = self.missing(fleet_snapshot, workers_known);
        let Some(service) = self.service_time(situation.metric, fleet_snapshot, missing) else {
            return self.plan_without_service_time(situation, second, steps);
        };
        let rate = Rate::measure(&self.second_buckets, service, situation.delay);
        let capacity = self.capacity(situation, fleet_snapshot, service, slots, rate);
        let demand = self.demand(fleet_snapshot, &capacity, rate);
        let waited = self.waited(fleet_snapshot, &capacity, rate);
        let mut backlog =
            backlog_inputs(situation, fleet_snapshot, &capacity, rate).backlog(demand.replicas);
        let mut max_order =
            to_u32_saturating((MAX_ORDER * demand.pods.max(1.0)).ceil()).max(demand.replicas);
        if !Rule::MaxOrder.applies() {
            max_order = situation.max;
        }
        if backlog.pods > max_order {
            (backlog.pods, backlog.bound_by) = (max_order, BacklogBound::MaxOrder);
        }
        let is_replaced = self.can_replace_slow(situation, fleet_snapshot);
        self.slow_above = fleet_snapshot.balance.slow_above(service, is_replaced);
        let has_outlier = self.outlier_above.is_finite();
        let (outlier, outlier_above) = pod_balance::find_outlier(
            fleet_snapshot.slowest.as_ref(),
            &mut fleet_snapshot.services,
            service,
            has_outlier,
        );
        self.outlier_above = outlier_above;
        let slow_pod = fleet_snapshot.balance.slowest(service).or(outlier);
        let uneven = fleet_snapshot
            .balance
            .uneven(fleet_snapshot.ready, demand.pods)
            .filter(|_| Rule::Uneven.applies());
        let mut unordered = None;
        if uneven.is_some() && backlog.pods > demand.replicas {
            // Further pods would get no requests either.
            unordered = Some(backlog.pods);
            backlog.pods = demand.replicas;
        }
        let overloaded = fleet_snapshot.balance.overloaded(
            f64::from(capacity.slots) / capacity.service,
            fleet_snapshot.waiting / f64::from(fleet_snapshot.ready.max(1)),
        );
        for second in passed {
            self.learn_second(
                situation,
                fleet_snapshot,
                &capacity,
                &demand,
                backlog,
                second,
            );
        }
        self.explain(situation, fleet_snapshot, &capacity, &demand, steps);
        explain_pods(
            slow_pod.as_ref(),
            uneven.as_ref(),
            unordered,
            overloaded.as_ref(),
            steps,
        );
        let waiting = match situation.balancing {
            Balancing::Random => fleet_snapshot.mean_wait(&capacity) > capacity.target,
            Balancing::LeastRequest => backlog.requests > 0.0,
        };
        let target = situation.metric.target.latency().as_secs_f64();
        let mut plan = Plan {
            pods: demand.replicas,
            reason: PlanReason::Demand,
            incomplete: missing,
            stuck: false,
            up_to: max_order,
            slow_pod: self.slow_for_long(situation, slow_pod),
            uneven,
            overloaded,
            batch_delay_above: (fleet_snapshot.batch > 1.0 && fleet_snapshot.batch_delay >= target)
                .then_some(fleet_snapshot.batch_delay),
        };
        self.hold(situation, second, &mut plan, steps);
        let proposed = self
            .backlog
            .add(second, backlog.pods, waiting, situation.delay);
        if proposed > plan.pods {
            plan.pods = proposed;
            plan.reason = PlanReason::Backlog;
            steps.push(Step::Backlog {
                waiting: backlog.requests,
                starting: u32::try_from(fleet_snapshot.starting.len()).unwrap_or(u32::MAX),
                replicas: proposed,
                bound_by: if proposed > backlog.pods {
                    BacklogBound::EarlierOrder
                } else {
                    backlog.bound_by
                },
            });
        }
        self.follow_profile(second, situation, &capacity, &mut plan, steps);
        replace_lost(fleet_snapshot, &mut plan, steps);
        self.replace_slow(situation, fleet_snapshot, is_replaced, &mut plan, steps);
        let symptoms = Symptoms {
            waited,
            waiting,
            uneven: plan.uneven.is_some(),
        };
        self.apply_safeguards(
            situation,
            fleet_snapshot,
            &capacity,
            symptoms,
            &mut plan,
            steps,
        );
        Ok(plan)
    }

    /// Plans without a service time, which is possible if the fleet is idle.
    fn plan_without_service_time(
        &mut self,
        situation: &Situation<'_>,
        second: u64,
        steps: &mut Vec<Step>,
    ) -> Result<Plan, NoPlan> {
        if self.has_arrivals() || self.second_buckets.window(300).seconds < IDLE_SECONDS {
            return Err(NoPlan::NoServiceTime);
        }
        steps.push(Step::Idle);
        let mut plan = Plan {
            pods: 1,
            reason: PlanReason::Demand,
            incomplete: None,
            stuck: false,
            up_to: 0,
            slow_pod: None,
            uneven: None,
            overloaded: None,
            batch_delay_above: None,
        };
        self.hold(situation, second, &mut plan, steps);
        Ok(plan)
    }

    fn demand(
        &mut self,
        fleet_snapshot: &FleetSnapshot,
        capacity: &Capacity,
        rate: Rate,
    ) -> Demand {
        let mut need = Need {
            now: capacity.need(rate.now, 1.0, &mut self.utilisations),
            ahead: capacity.need(rate.ahead, 1.0, &mut self.utilisations),
        };
        let setting = self.hold_backtest.setting();
        let predicted = if setting.trend { need.ahead } else { need.now };
        let mut batch_fill = None;
        if let Some(certain) = self.certain(fleet_snapshot, capacity) {
            // An unknown capacity prevents a scale-down, but is no reason to scale up.
            let kept = certain
                .need(rate.now, 1.0, &mut self.utilisations)
                .min(fleet_snapshot.ready.into());
            need.now = need.now.max(kept);
            need.ahead = need.ahead.max(kept);
            batch_fill = (kept > predicted).then_some(certain.slots);
        }
        let pods = if setting.trend { need.ahead } else { need.now };
        Demand {
            rate,
            need,
            setting,
            pods,
            replicas: to_u32_saturating(setting.pods(pods)),
            offered: rate.now * capacity.service / f64::from(capacity.slots),
            batch_fill,
        }
    }

    /// Learns from a second that has passed since the last plan.
    fn learn_second(
        &mut self,
        situation: &Situation<'_>,
        fleet_snapshot: &FleetSnapshot,
        capacity: &Capacity,
        demand: &Demand,
        backlog: Backlog,
        second: u64,
    ) {
        let minute = self.second_buckets.window(60);
        let pods = f64::from(fleet_snapshot.ready.max(1));
        let recent = self.second_buckets.window(10).rate();
        let formula = Capacity {
            variability: capacity.variability / self.calibration.factor(),
            wait: Wait::Mean,
            ..*capacity
        };
        let all_timed = self.service.timed_share() >= 1.0;
        let waited = minute.waited / minute.completed.max(1.0);
        let fill_time = fleet_snapshot.batch_fill_time(demand.rate.now);
        // Without the wait for the previous batch, the formula predicts almost no wait.
        let is_predictable = fleet_snapshot.batch <= 1.0 || capacity.batches.is_some();
        self.calibration.learn(&calibration::Observation {
            waited: all_timed.then_some((waited - fill_time).max(0.0)),
            completed: minute.completed,
            waiting: fleet_snapshot.waiting,
            rate: demand.rate.now,
            predicted: is_predictable.then(|| formula.predicted(demand.rate.now, pods)),
            utilisation: demand.offered / pods,
            steady: (recent - demand.rate.now).abs() < 0.15 * demand.rate.now,
            pods: fleet_snapshot.ready,
            backlog: backlog.pods > 0,
        });
        // A wait takes as long to build up as it lasts, so bursts within that time cause no violation. Counting each
        // second alone cost 1.3% more pod-hours over 300 random loads, with as many violation seconds.
        let mut span = to_u32_saturating((VIOLATION_FACTOR * capacity.target).ceil().max(1.0));
        if !Rule::ViolationSpan.applies() {
            span = 1;
        }
        // At a scrape interval of 10 s, all pods have reported a second up to 10 s later.
        if let Some(newest) = self.second_buckets.newest_complete() {
            while let Some(second) = self.hold_backtest.next_second(newest) {
                let arrivals = self.second_buckets.mean_arrivals(second, span.into());
                let pods = arrivals.map(|arrivals| {
                    capacity.need(arrivals, VIOLATION_FACTOR, &mut self.utilisations)
                });
                self.hold_backtest.record_required(second, pods);
            }
        }
        self.hold_backtest.record_need(demand.need);
        self.profile.record(second, demand.rate.now);
        if second.is_multiple_of(INTERVAL) {
            let price = situation.violation_price;
            let replayed = self
                .hold_backtest
                .evaluate(demand.need, situation.delay, price, situation.hold)
                .at_most(situation.max);
            self.profile
                .evaluate(second, situation.delay, &replayed, price, |rate| {
                    let need = capacity.need(rate, 1.0, &mut self.utilisations);
                    demand.setting.pods(need).min(situation.max.into())
                });
        }
    }

    fn explain(
        &mut self,
        situation: &Situation<'_>,
        fleet_snapshot: &FleetSnapshot,
        capacity: &Capacity,
        demand: &Demand,
        steps: &mut Vec<Step>,
    ) {
        steps.push(Step::Arrivals {
            model: situation.metric.model.clone(),
            rate: demand.rate.now,
            window: Duration::from_secs(demand.rate.window),
            minute: demand.rate.slow,
        });
        if demand.setting.trend && demand.rate.ahead > demand.rate.now {
            steps.push(Step::Trend {
                rate: demand.rate.ahead,
                ahead: seconds(demand.rate.lookahead),
                start_delay: seconds(situation.delay),
                limit: demand.rate.trend_limit,
            });
        }
        let for_wait = capacity.utilisation_for_wait(1.0, 1.0, &mut self.utilisations);
        steps.push(Step::Capacity {
            service: seconds(capacity.service),
            workers: capacity.slots,
            utilisation: for_wait,
            calibration: capacity.calibration,
            pooled: situation.balancing == Balancing::LeastRequest,
            aggregate: situation.metric.aggregate,
            target: situation.metric.target.latency(),
        });
        let utilisation = capacity.utilisation(1.0, &mut self.utilisations);
        if let Some(limit) = capacity.queue_limit.filter(|_| utilisation < for_wait) {
            steps.push(Step::QueueLimit {
                limit: to_u32_saturating(limit.round()),
                utilisation,
            });
        }
        if let Some(batches) = capacity.batches {
            steps.push(Step::Batches {
                size: to_u32_saturating(batches.size.round()),
                single: seconds(batches.single),
                growth: seconds(batches.growth),
            });
        }
        self.explain_slowest(fleet_snapshot, capacity, demand, steps);
        if let Some(slots) = demand.batch_fill {
            steps.push(Step::BatchFill { slots });
        }
        steps.push(Step::Needed {
            pods: demand.pods,
            headroom: demand.setting.headroom,
            replicas: demand.replicas,
        });
    }

    /// Explains that the slowest pods decide, or that they are overloaded.
    fn explain_slowest(
        &mut self,
        fleet_snapshot: &FleetSnapshot,
        capacity: &Capacity,
        demand: &Demand,
        steps: &mut Vec<Step>,
    ) {
        let (Some(slowest), Some(pod)) = (capacity.slowest, &fleet_snapshot.slowest) else {
            return;
        };
        let rate = if demand.setting.trend {
            demand.rate.ahead
        } else {
            demand.rate.now
        };
        let need = capacity.need_of_slowest(rate, 1.0, &mut self.utilisations);
        let utilisation = demand.offered / f64::from(fleet_snapshot.ready.max(1));
        let shown = match need {
            Some(pods) => pods >= demand.pods,
            None => utilisation * slowest.slowdown >= 1.0,
        };
        if shown {
            steps.push(Step::SlowestPods {
                pods: slowest.pods,
                slowest: Arc::clone(&pod.pod),
                slowdown: slowest.slowdown,
                kept: need.is_some(),
            });
        }
    }

    /// Applies the hold: keeps the highest recent need, and the replicas found at the start.
    fn hold(&self, situation: &Situation<'_>, second: u64, plan: &mut Plan, steps: &mut Vec<Step>) {
        if plan.pods >= situation.current {
            return;
        }
        let setting = self.hold_backtest.setting();
        let window = situation.hold.unwrap_or(seconds(setting.hold));
        let past = self.hold_backtest.highest(window);
        if past > 0.0 {
            let held = setting.held(past, situation.current);
            keep(held, window, situation, plan, steps);
        }
        let after_start = situation.hold.unwrap_or(HOLD_AFTER_START);
        if let Some((started, found)) = self.started
            && second - started < after_start.as_secs()
            && found > plan.pods
            && Rule::StartHold.applies()
        {
            plan.pods = found.min(situation.current);
            steps.push(Step::HeldAfterStart {
                replicas: plan.pods,
                window: after_start,
            });
        }
    }

    /// Keeps the pods that the load of the proven period needs until pods that are ordered now are ready.
    fn follow_profile(
        &mut self,
        second: u64,
        situation: &Situation<'_>,
        capacity: &Capacity,
        plan: &mut Plan,
        steps: &mut Vec<Step>,
    ) {
        let proven = self.profile.proven(second, situation.delay);
        let Some(expected) = proven.filter(|_| Rule::Profile.applies()) else {
            return;
        };
        let need = capacity.need(expected.ahead, 1.0, &mut self.utilisations);
        let setting = self.hold_backtest.setting();
        let replicas = self.profile.floor(second, |current| {
            setting.held(need, current).min(situation.max)
        });
        if replicas > plan.pods {
            plan.pods = replicas;
            plan.reason = PlanReason::RiseExpected;
            steps.push(Step::RiseExpected {
                period: Duration::from_secs(expected.period),
                rate: expected.ahead,
                replicas,
            });
        }
    }

    /// Runs the periodic updates up to `second`, and returns the seconds since the last plan, at most the newest
    /// [`MAX_ELAPSED`].
    fn update(&mut self, second: u64, delay: f64) -> RangeInclusive<u64> {
        let last = if self.updated_at == 0 {
            second - 1
        } else {
            self.updated_at.min(second)
        };
        let passed = last.max(second.saturating_sub(MAX_ELAPSED)) + 1..=second;
        for at in passed.clone() {
            self.service.decay(delay);
            if at.is_multiple_of(10) {
                self.service.update_variation();
            }
        }
        self.updated_at = second.max(last);
        passed
    }
}

/// Keeps at least `pods`, the highest need of `window`.
fn keep(
    pods: u32,
    window: Duration,
    situation: &Situation<'_>,
    plan: &mut Plan,
    steps: &mut Vec<Step>,
) {
    if pods > plan.pods {
        plan.pods = pods.min(situation.current);
        steps.push(Step::Held {
            replicas: plan.pods,
            window,
        });
    }
}

fn backlog_inputs<'a>(
    situation: &Situation<'_>,
    fleet_snapshot: &'a mut FleetSnapshot,
    capacity: &Capacity,
    rate: Rate,
) -> BacklogInputs<'a> {
    let requests_per_pod = match situation.balancing {
        Balancing::Random => &mut *fleet_snapshot.requests_per_pod,
        Balancing::LeastRequest => &mut [],
    };
    // The surge pods of a rollout replace other pods and add no capacity. Which pods those are is unknown; the first
    // ones to become ready are assumed to be surge pods.
    let serving = fleet_snapshot.ready + fleet_snapshot.lost;
    let missing = situation.current.saturating_sub(serving) as usize;
    let surge = fleet_snapshot.starting.len().saturating_sub(missing);
    BacklogInputs {
        rate: rate.now,
        service: capacity.service,
        workers: f64::from(capacity.slots),
        target: capacity.target,
        ready: f64::from(fleet_snapshot.ready.max(1)),
        in_system: fleet_snapshot.in_system,
        starting: fleet_snapshot.starting.get(surge..).unwrap_or_default(),
        delay: situation.delay,
        requests_per_pod,
        violation_price: situation.violation_price,
    }
}

fn explain_pods(
    slow: Option<&SlowPod>,
    uneven: Option<&UnevenLoad>,
    unordered: Option<u32>,
    overloaded: Option<&OverloadedPod>,
    steps: &mut Vec<Step>,
) {
    // The step of the slowest pods explains those that count.
    if let Some(slow) = slow.filter(|slow| !slow.counts) {
        steps.push(Step::SlowPod {
            pod: Arc::clone(&slow.pod),
            factor: slow.factor,
            waiting: slow.waiting,
        });
    }
    if let Some(uneven) = uneven {
        steps.push(Step::UnevenLoad {
            idle: uneven.idle,
            pods: uneven.pods,
            unordered,
        });
    }
    if let Some(overloaded) = overloaded {
        steps.push(Step::OverloadedPod {
            pod: Arc::clone(&overloaded.pod),
            rate: overloaded.rate.into(),
            waiting: overloaded.waiting,
        });
    }
}

/// Orders one more pod for each lost one, because the replicas include the lost ones. It orders at most as many as are
/// needed: if the new pods crash as well, more of them do not help.
fn replace_lost(fleet_snapshot: &FleetSnapshot, plan: &mut Plan, steps: &mut Vec<Step>) {
    if fleet_snapshot.lost > 0 && Rule::Lost.applies() {
        plan.pods = plan.pods.saturating_add(fleet_snapshot.lost.min(plan.pods));
        steps.push(Step::Lost {
            pods: fleet_snapshot.lost,
            replicas: plan.pods,
        });
    }
}

impl FleetSnapshot {
    /// Counts the requests that wait in the ready pods, which process `slots` in parallel.
    fn count_waiting(&mut self, slots: u32) {
        let slots = f64::from(slots);
        let waiting = self
            .requests_per_pod
            .iter()
            .map(|requests| (f64::from(*requests) - slots).max(0.0));
        self.waiting = waiting.sum();
    }

    /// Returns the mean wait in the pods' own queues, in seconds.
    pub(super) fn mean_wait(&self, capacity: &Capacity) -> f64 {
        let pods = self.requests_per_pod.len().max(1) as f64;
        self.waiting * capacity.service / f64::from(capacity.slots) / pods
    }
}

fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
}
