//! Observes the fleet: learns from the seconds that have passed, and returns what the plan needs.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use crate::policy::Balancing;
use crate::step::BacklogBound;

use super::arrivals::Rate;
use super::backlog::{Backlog, BacklogInputs};
use super::calibration::{self, PercentileWait};
use super::capacity::Capacity;
use super::envelope::IDLE_UTILISATION;
use super::evidence::{FEW_REQUESTS, VIOLATION_FACTOR};
use super::fleet_snapshot::FleetSnapshot;
use super::hold_backtest::{HoldSetting, INTERVAL, LONGEST_HOLD, Need};
use super::plan::{Incomplete, NoPlan, Situation};
use super::pod_balance::{self, OverloadedPod, SlowPod, UnevenLoad};
use super::queueing::Wait;
use super::rules::Rule;
use super::state::ModelState;
use super::wait_percentile::{Estimate, Service};
use crate::numbers::{to_duration, to_u32_saturating};

/// The seconds of arrivals that a plan needs.
const MIN_OBSERVED_SECONDS: f64 = 5.0;

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

/// What was observed.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "one at a time, and a decision allocates no memory"
)]
pub(super) enum Observation<'a> {
    /// No request has arrived for a minute or longer, and the service time is unknown.
    Idle(Holds),
    Load(Inputs<'a>),
}

/// Everything that a plan follows from, apart from what the safeguards and the replacement of slow pods remember. Times
/// are in seconds.
#[derive(Debug)]
pub(super) struct Inputs<'a> {
    pub(super) situation: Situation<'a>,
    pub(super) missing: Option<Incomplete>,
    pub(super) pods: PodCounts,
    pub(super) capacity: Capacity,
    /// The utilisation that keeps the target, and the one that also keeps the queue limit.
    pub(super) utilisation_for_wait: f64,
    pub(super) utilisation: f64,
    pub(super) demand: Demand,
    /// The slowest pods, if they decide or are overloaded.
    pub(super) slowest: Option<DecidingPods>,
    pub(super) slow_pod: Option<SlowPod>,
    /// Whether there has been a slow pod for long enough, and whether slow pods are replaced.
    pub(super) is_slow_for_long: bool,
    pub(super) is_replaced: bool,
    pub(super) uneven: Option<UnevenLoad>,
    pub(super) overloaded: Option<OverloadedPod>,
    pub(super) holds: Holds,
    pub(super) backlog: BacklogOrder,
    pub(super) rise: Option<ExpectedRise>,
    /// The estimated percentile of the wait, if the target applies to one.
    pub(super) percentile: Option<Estimate>,
    /// The mean wait of the requests completed recently, if any.
    pub(super) waited: Option<f64>,
    /// Whether requests wait longer than the target latency now.
    pub(super) is_waiting: bool,
    /// Whether requests arrive and none completes.
    pub(super) is_stuck: bool,
    /// The arrival rate before the arrivals stopped at all pods at once, and the one since.
    pub(super) vanished: Option<(f64, f64)>,
    /// The measured over the predicted waits, if the fleet is outside of the envelope.
    pub(super) outside: Option<f64>,
    /// The batch delay, if it exceeds the target latency.
    pub(super) batch_delay_above: Option<f64>,
}

/// The pods and the requests in them.
#[derive(Clone, Copy, Debug)]
pub(super) struct PodCounts {
    pub(super) ready: u32,
    pub(super) starting: u32,
    pub(super) lost: u32,
    pub(super) overdue: u32,
    /// Pods that are much slower than the others.
    pub(super) slow: u32,
    /// Waiting and in-flight requests.
    pub(super) in_system: f64,
    /// The mean queue latency that pods report, in seconds.
    pub(super) wait: Option<f64>,
}

impl PodCounts {
    fn of(fleet_snapshot: &FleetSnapshot) -> Self {
        Self {
            ready: fleet_snapshot.ready,
            starting: u32::try_from(fleet_snapshot.starting.len()).unwrap_or(u32::MAX),
            lost: fleet_snapshot.lost,
            overdue: fleet_snapshot.overdue,
            slow: fleet_snapshot.balance.slow,
            in_system: fleet_snapshot.in_system,
            wait: fleet_snapshot.wait,
        }
    }
}

/// The need for the arrival rate.
#[derive(Clone, Copy, Debug)]
pub(super) struct Demand {
    pub(super) rate: Rate,
    pub(super) need: Need,
    pub(super) setting: HoldSetting,
    /// Pods as a fractional number, and whole replicas with head-room.
    pub(super) pods: f64,
    pub(super) replicas: u32,
    /// The offered load, in fully utilised pods.
    pub(super) offered: f64,
    /// The in-flight requests that a pod is assumed to process, if this determines the need because no pod was
    /// saturated yet.
    pub(super) batch_fill: Option<u32>,
}

/// Slow pods that count.
#[derive(Clone, Debug)]
pub(super) struct DecidingPods {
    pub(super) pods: u32,
    /// The slowest of them, and its service time over the mean.
    pub(super) slowest: Arc<str>,
    pub(super) slowdown: f64,
    /// Whether the need keeps them within the target.
    pub(super) is_kept: bool,
}

/// The replicas that are held, each with the length of the hold.
#[derive(Clone, Copy, Debug)]
pub(super) struct Holds {
    /// Those of the highest recent need.
    pub(super) need: Option<(u32, Duration)>,
    /// Those found at the start.
    pub(super) start: Option<(u32, Duration)>,
}

/// The order for a backlog.
#[derive(Clone, Copy, Debug)]
pub(super) struct BacklogOrder {
    /// Requests beyond those of a steady fleet.
    pub(super) requests: f64,
    /// The pods, including those of an earlier order that is kept.
    pub(super) pods: u32,
    pub(super) bound_by: BacklogBound,
    /// The most pods that one order may have.
    pub(super) most: u32,
    /// The pods that are not ordered because the load is uneven.
    pub(super) unordered: Option<u32>,
}

/// The load that is expected from a proven period.
#[derive(Clone, Copy, Debug)]
pub(super) struct ExpectedRise {
    /// The period in seconds.
    pub(super) period: u64,
    pub(super) rate: f64,
    pub(super) replicas: u32,
}

impl ModelState {
    /// Learns from the seconds since the last call, and returns the inputs of the plan.
    pub(super) fn observe<'a>(
        &mut self,
        situation: &Situation<'a>,
        fleet_snapshot: &mut FleetSnapshot,
    ) -> Result<Observation<'a>, NoPlan> {
        self.second_buckets.set_expected_pods(fleet_snapshot.ready);
        if fleet_snapshot.reporting == 0 {
            return Err(NoPlan::NotReporting);
        }
        let second = self.second_buckets.now();
        let passed = self.update(second, situation.delay);
        if self.second_buckets.window(60).seconds < MIN_OBSERVED_SECONDS {
            return Err(NoPlan::TooSoon);
        }
        let started = u32::try_from(second).unwrap_or(u32::MAX);
        self.started.get_or_insert((started, situation.current));
        self.vanished
            .update(second, &self.second_buckets, fleet_snapshot);
        self.learn_workers(situation.metric, fleet_snapshot);
        let (slots, workers_known) = self.slots(situation.metric, fleet_snapshot);
        fleet_snapshot.count_waiting(slots);
        let missing = self.missing(fleet_snapshot, workers_known);
        let Some(service) = self.service_time(situation.metric, fleet_snapshot, missing) else {
            return self.observe_without_service_time(situation, second);
        };
        let rate = Rate::measure(&self.second_buckets, service, situation.delay);
        let capacity = self.capacity(situation, fleet_snapshot, service, slots, rate);
        let demand = self.demand(fleet_snapshot, &capacity, rate);
        let waited = self.waited(fleet_snapshot, &capacity, rate);
        let is_replaced = self.can_replace_slow(situation, fleet_snapshot);
        let slow_pod = self.slow_pod(fleet_snapshot, service, is_replaced);
        let uneven = fleet_snapshot
            .balance
            .uneven(fleet_snapshot.ready, demand.pods)
            .filter(|_| Rule::Uneven.applies());
        let overloaded = fleet_snapshot.balance.overloaded(
            f64::from(capacity.slots) / capacity.service,
            fleet_snapshot.waiting / f64::from(fleet_snapshot.ready.max(1)),
        );
        let mut backlog = order(
            situation,
            fleet_snapshot,
            &capacity,
            &demand,
            uneven.is_some(),
        );
        let percentile = self.percentile(fleet_snapshot, &capacity);
        // A metric with a percentile learns it if it is the first one of the model. What was learned does not outlast
        // the metric.
        if !passed.is_empty() {
            let known = self.wait_percentile.take();
            self.wait_percentile = percentile.map(|_| known.unwrap_or_default());
        }
        for second in passed {
            self.learn_second(
                situation,
                fleet_snapshot,
                &capacity,
                &demand,
                backlog.pods > 0,
                second,
            );
        }
        let is_waiting = match situation.balancing {
            Balancing::Random => fleet_snapshot.mean_wait(&capacity) > capacity.target,
            Balancing::LeastRequest => backlog.requests > 0.0,
        };
        self.keep_order(second, situation, is_waiting, &mut backlog);
        let target = situation.metric.target.latency().as_secs_f64();
        let has_batch_delay = fleet_snapshot.batch > 1.0 && fleet_snapshot.batch_delay >= target;
        Ok(Observation::Load(Inputs {
            situation: *situation,
            missing,
            pods: PodCounts::of(fleet_snapshot),
            utilisation_for_wait: capacity.utilisation_for_wait(1.0, 1.0, &mut self.utilisations),
            utilisation: capacity.utilisation(1.0, &mut self.utilisations),
            slowest: self.deciding_pods(fleet_snapshot, &capacity, &demand),
            is_slow_for_long: self.is_slow_for_long(situation, slow_pod.is_some()),
            slow_pod,
            is_replaced,
            uneven,
            overloaded,
            holds: self.holds(situation, second, demand.replicas),
            backlog,
            rise: self.expected_rise(second, situation, &capacity),
            percentile: percentile
                .and_then(|service| self.wait_percentile.as_ref()?.estimate(&service)),
            waited,
            is_waiting,
            is_stuck: self.is_stuck(&capacity, fleet_snapshot) && Rule::Stuck.applies(),
            vanished: self.vanished.before().map(|before| (before, rate.now)),
            outside: self.envelope.exceeded_by(),
            batch_delay_above: has_batch_delay.then_some(fleet_snapshot.batch_delay),
            capacity,
            demand,
        }))
    }

    /// Observes without a service time, which is possible if the fleet is idle.
    fn observe_without_service_time<'a>(
        &self,
        situation: &Situation<'_>,
        second: u64,
    ) -> Result<Observation<'a>, NoPlan> {
        if self.has_arrivals() || self.second_buckets.window(300).seconds < IDLE_SECONDS {
            return Err(NoPlan::NoServiceTime);
        }
        Ok(Observation::Idle(self.holds(situation, second, 1)))
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

    /// Returns a pod that is slow, or that is named although it counts; updates the times above which pods are.
    fn slow_pod(
        &mut self,
        fleet_snapshot: &mut FleetSnapshot,
        service: f64,
        is_replaced: bool,
    ) -> Option<SlowPod> {
        self.slow_above = fleet_snapshot.balance.slow_above(service, is_replaced);
        let has_outlier = self.outlier_above.is_finite();
        let (outlier, outlier_above) = pod_balance::find_outlier(
            fleet_snapshot.slowest.as_ref(),
            &mut fleet_snapshot.services,
            service,
            has_outlier,
        );
        self.outlier_above = outlier_above;
        fleet_snapshot.balance.slowest(service).or(outlier)
    }

    /// Replaces the order of this second by an earlier, larger one that is kept.
    fn keep_order(
        &mut self,
        second: u64,
        situation: &Situation<'_>,
        is_waiting: bool,
        backlog: &mut BacklogOrder,
    ) {
        let kept = self
            .backlog
            .add(second, backlog.pods, is_waiting, situation.delay);
        if kept > backlog.pods {
            (backlog.pods, backlog.bound_by) = (kept, BacklogBound::EarlierOrder);
        }
    }

    /// Returns what a percentile of the wait is estimated with, if the target applies to one.
    fn percentile(&self, fleet_snapshot: &FleetSnapshot, capacity: &Capacity) -> Option<Service> {
        Service::of(capacity, self.service.variation(), fleet_snapshot.batch)
    }

    /// Learns from a second that has passed since the last plan.
    fn learn_second(
        &mut self,
        situation: &Situation<'_>,
        fleet_snapshot: &FleetSnapshot,
        capacity: &Capacity,
        demand: &Demand,
        has_backlog: bool,
        second: u64,
    ) {
        let minute = self.second_buckets.window(60);
        let pods = f64::from(fleet_snapshot.ready.max(1));
        let recent = self.second_buckets.window(10).rate();
        let formula = Capacity {
            variability: capacity.variability / self.calibration.factor(),
            ..*capacity
        };
        let percentile = self
            .percentile(fleet_snapshot, capacity)
            .zip(self.wait_percentile.as_deref_mut())
            .map(|(service, queues)| PercentileWait {
                queues,
                service,
                formula: &formula,
            });
        let mean = Capacity {
            wait: Wait::Mean,
            ..formula
        };
        let all_timed = self.service.timed_share() >= 1.0;
        let waited = minute.waited / minute.completed.max(1.0);
        let fill_time = fleet_snapshot.batch_fill_time(demand.rate.now);
        // Without the wait for the previous batch, the formula predicts almost no wait.
        let is_predictable = fleet_snapshot.batch <= 1.0 || capacity.batches.is_some();
        let utilisation = demand.offered / pods;
        let waits = self.calibration.learn(
            &calibration::Observation {
                waited: all_timed.then_some((waited - fill_time).max(0.0)),
                completed: minute.completed,
                waiting: fleet_snapshot.waiting,
                rate: demand.rate.now,
                predicted: is_predictable.then(|| mean.predicted(demand.rate.now, pods)),
                utilisation,
                steady: (recent - demand.rate.now).abs() < 0.15 * demand.rate.now,
                pods: fleet_snapshot.ready,
                backlog: has_backlog,
            },
            percentile,
        );
        let is_nearly_idle = utilisation < IDLE_UTILISATION || minute.completed < FEW_REQUESTS;
        self.envelope
            .learn(waits, capacity.target, is_nearly_idle && !has_backlog);
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

    /// Returns the slowest pods, if they decide or are overloaded.
    fn deciding_pods(
        &mut self,
        fleet_snapshot: &FleetSnapshot,
        capacity: &Capacity,
        demand: &Demand,
    ) -> Option<DecidingPods> {
        let (slowest, pod) = (capacity.slowest?, fleet_snapshot.slowest.as_ref()?);
        let rate = if demand.setting.trend {
            demand.rate.ahead
        } else {
            demand.rate.now
        };
        let need = capacity.need_of_slowest(rate, 1.0, &mut self.utilisations);
        let utilisation = demand.offered / f64::from(fleet_snapshot.ready.max(1));
        let is_shown = match need {
            Some(pods) => pods >= demand.pods,
            None => utilisation * slowest.slowdown >= 1.0,
        };
        is_shown.then(|| DecidingPods {
            pods: slowest.pods,
            slowest: Arc::clone(&pod.pod),
            slowdown: slowest.slowdown,
            is_kept: need.is_some(),
        })
    }

    /// Returns what is held if `replicas` are needed now.
    fn holds(&self, situation: &Situation<'_>, second: u64, replicas: u32) -> Holds {
        let current = situation.current;
        if replicas >= current {
            return Holds {
                need: None,
                start: None,
            };
        }
        let setting = self.hold_backtest.setting();
        let usual = match self.vanished.before() {
            Some(_) => LONGEST_HOLD,
            None => setting.hold,
        };
        let window = situation.hold.unwrap_or(to_duration(usual));
        let past = self.hold_backtest.highest(window);
        let need = (past > 0.0).then(|| (setting.held(past, current).min(current), window));
        let after_start = situation.hold.unwrap_or(HOLD_AFTER_START);
        let found = self.started.filter(|&(started, _)| {
            second - u64::from(started) < after_start.as_secs() && Rule::StartHold.applies()
        });
        Holds {
            need,
            start: found.map(|(_, found)| (found.min(current), after_start)),
        }
    }

    /// Returns the load of the proven period until pods that are ordered now are ready, and the replicas for it.
    fn expected_rise(
        &mut self,
        second: u64,
        situation: &Situation<'_>,
        capacity: &Capacity,
    ) -> Option<ExpectedRise> {
        let proven = self.profile.proven(second, situation.delay);
        let expected = proven.filter(|_| Rule::Profile.applies())?;
        let need = capacity.need(expected.ahead, 1.0, &mut self.utilisations);
        let setting = self.hold_backtest.setting();
        let replicas = self.profile.floor(second, |current| {
            setting.held(need, current).min(situation.max)
        });
        Some(ExpectedRise {
            period: expected.period,
            rate: expected.ahead,
            replicas,
        })
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

/// Returns the order for the backlog of this second.
fn order(
    situation: &Situation<'_>,
    fleet_snapshot: &mut FleetSnapshot,
    capacity: &Capacity,
    demand: &Demand,
    is_uneven: bool,
) -> BacklogOrder {
    let Backlog {
        requests,
        mut pods,
        mut bound_by,
    } = backlog_inputs(situation, fleet_snapshot, capacity, demand.rate).backlog(demand.replicas);
    let mut most =
        to_u32_saturating((MAX_ORDER * demand.pods.max(1.0)).ceil()).max(demand.replicas);
    if !Rule::MaxOrder.applies() {
        most = situation.max;
    }
    if pods > most {
        (pods, bound_by) = (most, BacklogBound::MaxOrder);
    }
    let mut unordered = None;
    if is_uneven && pods > demand.replicas {
        // Further pods would get no requests either.
        unordered = Some(pods);
        pods = demand.replicas;
    }
    BacklogOrder {
        requests,
        pods,
        bound_by,
        most,
        unordered,
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
