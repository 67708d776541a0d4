//! From what is known of one model to the pods it takes.

use std::time::Duration;

use crate::policy::Balancing;
use crate::step::Step;

use super::arrivals::{Rate, likely};
use super::backlog::{Standing, Surge, own_queue};
use super::calibration::Minute;
use super::capacity::Capacity;
use super::fleet_snapshot::FleetSnapshot;
use super::hold_backtest::{EVERY, Need, Setting};
use super::plan::{NoPlan, Plan, PlanReason, Situation};
use super::queueing::{Wait, whole};
use super::recurrence::{Due, HARM, Moment as Burst};
use super::safeguards::Symptoms;
use super::state::ModelState;

/// Nothing is said before so many seconds were seen.
const FIRST_SECONDS: f64 = 5.0;

/// A fleet without any request for so long is idle, even if nobody knows how long a request takes.
const IDLE_SECONDS: f64 = 60.0;

/// A second is harmed if its requests wait more than so many times the target.
const HARMED: f64 = 4.0;

/// Arrivals are averaged over no more seconds than these to see whether they harm.
const LONGEST_SPAN: f64 = 10.0;

/// For so many seconds after a start the size that was found is held (docs/ALGORITHM.md, I0).
const HELD_AT_FIRST: Duration = Duration::from_secs(300);

/// A hold that is shorter than the windows in which a rise grows sure.
const SHORT: Duration = Duration::from_secs(60);

/// A step goes no further than so many times the pods that would be busy throughout (docs/ALGORITHM.md, I3).
const STEP_MOST: f64 = 9.0;

/// What the rate asks for.
#[derive(Clone, Copy, Debug)]
struct Demand {
    rate: Rate,
    need: Need,
    setting: Setting,
    /// In fractions of a pod, and in whole ones with what is added.
    pods: f64,
    replicas: u32,
    /// Pods that would be busy throughout.
    offered: f64,
}

impl ModelState {
    /// The pods that this model takes, and the steps that led there.
    pub(crate) fn plan(
        &mut self,
        situation: &Situation<'_>,
        fleet_snapshot: &mut FleetSnapshot,
        steps: &mut Vec<Step>,
    ) -> Result<Plan, NoPlan> {
        self.second_buckets.expect(fleet_snapshot.ready);
        if fleet_snapshot.reporting == 0 {
            return Err(NoPlan::NotReporting);
        }
        let second = self.second_buckets.now();
        let turn = self.turn_over(second);
        if self.second_buckets.window(60).seconds < FIRST_SECONDS {
            return Err(NoPlan::TooSoon);
        }
        self.began.get_or_insert((second, situation.current));
        let (slots, workers_known) = self.slots(situation.metric, fleet_snapshot);
        let missing = self.missing(fleet_snapshot, workers_known, turn.seconds);
        let full =
            fleet_snapshot.in_system > f64::from(slots) * f64::from(fleet_snapshot.ready.max(1));
        let Some(service) = self.service_time(situation.metric, fleet_snapshot, full, missing)
        else {
            return self.plan_without_service_time(situation, second, steps);
        };
        let rate = self.arrivals.rate(&self.second_buckets, situation.delay);
        let capacity = self.capacity(situation, fleet_snapshot, service, slots, rate);
        let demand = self.demand(&capacity, rate);
        let waited = self.waited(fleet_snapshot, rate);
        let surge = standing(situation, fleet_snapshot, &capacity, rate).surge(demand.replicas);
        if turn.seconds > 0 {
            self.look_back(situation, fleet_snapshot, &capacity, &demand, surge, turn);
        }
        let harm = surge.backlog > 0.0 && waited.is_some_and(|wait| wait > HARM * capacity.target);
        let due = self.recurrence.learn(Burst {
            second,
            harm,
            needed: demand.replicas,
            offered: demand.offered,
            delay: situation.delay,
        });
        self.explain(situation, &capacity, &demand, steps);
        let waiting = match situation.balancing {
            Balancing::Random => fleet_snapshot.mean_queue(&capacity) > capacity.target,
            Balancing::LeastRequest => surge.backlog > 0.0,
        };
        let target = situation.metric.target.latency().as_secs_f64();
        let mut plan = Plan {
            pods: demand.replicas,
            reason: PlanReason::Demand,
            incomplete: missing,
            stuck: false,
            up_to: whole((STEP_MOST * demand.offered.max(1.0)).ceil()),
            batch_delay_above: (fleet_snapshot.batch > 1.0 && fleet_snapshot.batch_delay >= target)
                .then_some(fleet_snapshot.batch_delay),
        };
        self.keep_what_is_likely(situation, &capacity, rate, &mut plan, steps);
        self.hold(situation, second, &mut plan, steps);
        let ordered = self.orders.place(second, surge.pods, waiting);
        if ordered > plan.pods {
            plan.pods = ordered;
            plan.reason = PlanReason::Backlog;
            steps.push(Step::Backlog {
                waiting: surge.backlog,
                starting: u32::try_from(fleet_snapshot.starting.len()).unwrap_or(u32::MAX),
                replicas: ordered,
            });
        }
        prepare(due, &mut plan, steps);
        let symptoms = Symptoms { waited, waiting };
        self.keep_safe(
            situation,
            fleet_snapshot,
            &capacity,
            symptoms,
            &mut plan,
            steps,
        );
        Ok(plan)
    }

    /// Nobody knows how long a request takes. If none has come for a while, that does not matter.
    fn plan_without_service_time(
        &mut self,
        situation: &Situation<'_>,
        second: u64,
        steps: &mut Vec<Step>,
    ) -> Result<Plan, NoPlan> {
        let lately = self.second_buckets.window(300);
        if lately.arrivals > 0.0 || lately.seconds < IDLE_SECONDS {
            return Err(NoPlan::NoServiceTime);
        }
        steps.push(Step::Idle);
        let mut plan = Plan {
            pods: 1,
            reason: PlanReason::Demand,
            incomplete: None,
            stuck: false,
            up_to: 0,
            batch_delay_above: None,
        };
        self.hold(situation, second, &mut plan, steps);
        Ok(plan)
    }

    fn demand(&mut self, capacity: &Capacity, rate: Rate) -> Demand {
        let need = Need {
            now: capacity.need(rate.now, 1.0, &mut self.occupancies),
            ahead: capacity.need(rate.ahead, 1.0, &mut self.occupancies),
        };
        let setting = self.hold_backtest.setting();
        let pods = if setting.trend { need.ahead } else { need.now };
        Demand {
            rate,
            need,
            setting,
            pods,
            replicas: whole(setting.pods(pods)),
            offered: rate.now * capacity.service / f64::from(capacity.slots),
        }
    }

    /// What is learnt once a second.
    fn look_back(
        &mut self,
        situation: &Situation<'_>,
        fleet_snapshot: &FleetSnapshot,
        capacity: &Capacity,
        demand: &Demand,
        surge: Surge,
        turn: Turn,
    ) {
        let minute = self.second_buckets.window(60);
        let pods = f64::from(fleet_snapshot.ready.max(1));
        let lately = self.second_buckets.window(10).rate();
        let formula = Capacity {
            variability: capacity.variability / self.calibration.factor(),
            wait: Wait::Mean,
            ..*capacity
        };
        self.calibration.learn(&Minute {
            waited: minute.waited / minute.completed.max(1.0),
            completed: minute.completed,
            predicted: formula.predicted(demand.rate.now, pods),
            busy: demand.offered / pods,
            even: (lately - demand.rate.now).abs() < 0.15 * demand.rate.now,
            pods: fleet_snapshot.ready,
            backlog: surge.pods > 0,
        });
        // A wait of so long takes as long to build up: the bunching of single arrivals within it harms nobody. Counted
        // second by second it bought 1.3 % more pod-hours over 300 random loads, for as many harmed seconds.
        let span = whole((HARMED * capacity.target).ceil().clamp(1.0, LONGEST_SPAN)) as usize;
        if let Some(arrivals) = self.second_buckets.newest_whole(span) {
            let pods = capacity.need(arrivals, HARMED, &mut self.occupancies);
            self.hold_backtest.second(pods);
        }
        self.hold_backtest.needs(demand.need);
        if turn.looks {
            self.hold_backtest.look(demand.need, situation.delay);
        }
    }

    fn explain(
        &mut self,
        situation: &Situation<'_>,
        capacity: &Capacity,
        demand: &Demand,
        steps: &mut Vec<Step>,
    ) {
        steps.push(Step::Arrivals {
            model: situation.metric.model.clone(),
            rate: demand.rate.now,
            window: Duration::from_secs(demand.rate.seen_in),
            minute: demand.rate.slow,
        });
        if demand.setting.trend && demand.rate.ahead > demand.rate.now {
            steps.push(Step::Trend {
                rate: demand.rate.ahead,
                ahead: seconds(situation.delay),
            });
        }
        steps.push(Step::Capacity {
            service: seconds(capacity.service),
            workers: capacity.slots,
            utilisation: capacity.occupancy(1.0, &mut self.occupancies),
            pooled: situation.balancing == Balancing::LeastRequest,
            aggregate: situation.metric.aggregate,
            target: situation.metric.target.latency(),
        });
        steps.push(Step::Needed {
            pods: demand.pods,
            headroom: demand.setting.headroom,
            replicas: demand.replicas,
        });
    }

    /// Nothing goes that the last seconds took, be it sure or not. A hold of a minute or more has seen them grow sure; a shorter one of
    /// the user's, of 3 s, let a fleet of 12 go to 6 where 60 requests a second took 7, since 54 were beyond doubt.
    fn keep_what_is_likely(
        &mut self,
        situation: &Situation<'_>,
        capacity: &Capacity,
        rate: Rate,
        plan: &mut Plan,
        steps: &mut Vec<Step>,
    ) {
        let short = situation.hold.is_some_and(|hold| hold < SHORT);
        if !short || plan.pods >= situation.current {
            return;
        }
        let (likely, seen_in) = likely(&self.second_buckets);
        if likely > rate.now {
            let need = capacity.need(likely, 1.0, &mut self.occupancies);
            let kept = whole(self.hold_backtest.setting().pods(need)).min(situation.current);
            keep(kept, Duration::from_secs(seen_in), situation, plan, steps);
        }
    }

    /// Nothing goes that was needed lately, or was there when we began.
    fn hold(&self, situation: &Situation<'_>, second: u64, plan: &mut Plan, steps: &mut Vec<Step>) {
        if plan.pods >= situation.current {
            return;
        }
        let setting = self.hold_backtest.setting();
        let window = situation.hold.unwrap_or(seconds(setting.hold));
        let past = self.hold_backtest.highest(window);
        if past > 0.0 {
            let held = whole(setting.pods(past));
            keep(held, window, situation, plan, steps);
        }
        let at_first = situation.hold.unwrap_or(HELD_AT_FIRST);
        if let Some((began, found)) = self.began
            && second - began < at_first.as_secs()
            && found > plan.pods
        {
            plan.pods = found;
            steps.push(Step::HeldAfterStart {
                replicas: found.min(situation.current),
                window: at_first,
            });
        }
    }

    /// What fades, fades.
    fn turn_over(&mut self, second: u64) -> Turn {
        let last = if self.turned == 0 {
            second - 1
        } else {
            self.turned.min(second)
        };
        for at in last.max(second.saturating_sub(60)) + 1..=second {
            self.fade();
            if at.is_multiple_of(10) {
                self.service.settle();
                self.arrivals.settle(&self.second_buckets);
            }
        }
        self.turned = second.max(last);
        Turn {
            seconds: second - last,
            looks: second / EVERY > last / EVERY,
        }
    }
}

/// Seconds that have passed since the last plan, and whether hold_backtest looks again.
#[derive(Clone, Copy, Debug)]
struct Turn {
    seconds: u64,
    looks: bool,
}

/// What so long a time needed stays.
fn keep(
    pods: u32,
    window: Duration,
    situation: &Situation<'_>,
    plan: &mut Plan,
    steps: &mut Vec<Step>,
) {
    if pods > plan.pods {
        plan.pods = pods;
        steps.push(Step::Held {
            replicas: pods.min(situation.current),
            window,
        });
    }
}

fn standing<'a>(
    situation: &Situation<'_>,
    fleet_snapshot: &'a mut FleetSnapshot,
    capacity: &Capacity,
    rate: Rate,
) -> Standing<'a> {
    let own_queue = match situation.balancing {
        Balancing::Random => own_queue(&mut fleet_snapshot.own),
        Balancing::LeastRequest => None,
    };
    // A rollout's surge takes the place of pods that serve, and adds nothing. Which pods are its own nobody tells: those
    // that add are taken to be the last ones.
    let missing = situation.current.saturating_sub(fleet_snapshot.ready) as usize;
    let surge = fleet_snapshot.starting.len().saturating_sub(missing);
    Standing {
        rate: rate.now,
        service: capacity.service,
        workers: f64::from(capacity.slots),
        target: capacity.target,
        ready: f64::from(fleet_snapshot.ready.max(1)),
        in_system: fleet_snapshot.in_system,
        starting: fleet_snapshot.starting.get(surge..).unwrap_or_default(),
        delay: situation.delay,
        own_queue,
    }
}

fn prepare(due: Option<Due>, plan: &mut Plan, steps: &mut Vec<Step>) {
    let Some(due) = due.filter(|due| due.pods > plan.pods) else {
        return;
    };
    plan.pods = due.pods;
    plan.reason = PlanReason::Burst;
    steps.push(Step::BurstExpected {
        every: seconds(due.every),
        within: due.within,
        replicas: due.pods,
    });
}

impl FleetSnapshot {
    /// The mean wait before the pods' own queues, in seconds.
    fn mean_queue(&self, capacity: &Capacity) -> f64 {
        let slots = f64::from(capacity.slots);
        let waiting = self
            .own
            .iter()
            .map(|own| (f64::from(*own) - slots).max(0.0));
        #[expect(clippy::cast_precision_loss, reason = "a number of pods")]
        let pods = self.own.len().max(1) as f64;
        waiting.sum::<f64>() * capacity.service / slots / pods
    }
}

fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
}
