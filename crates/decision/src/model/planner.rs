//! From what is known of one model to the pods it takes (decision.md 4.3 to 4.6).

use std::time::Duration;

use crate::latency::Latency;
use crate::moment::Moment;
use crate::policy::{Aggregate, Balancing, Metric};
use crate::step::Step;

use super::arrivals::Rate;
use super::backlog::{Standing, Surge, own_queue};
use super::calibration::Minute;
use super::capacity::Capacity;
use super::census::Census;
use super::hindsight::{EVERY, Need};
use super::queueing::{Wait, whole};
use super::recurrence::{Due, HARM};
use super::state::ModelState;

/// Nothing is said before so many seconds were seen.
const FIRST_SECONDS: f64 = 5.0;

/// A second is harmed if its requests wait more than so many times the target (decision.md 1.2).
const HARMED: f64 = 4.0;

/// For so many seconds after a start the size that was found is held (decision.md I0).
const HELD_AT_FIRST: u64 = 300;

/// Nothing answered for so many seconds, or so many service times, while requests arrive (decision.md I7).
const STUCK_SECONDS: f64 = 10.0;
const STUCK_SERVICES: f64 = 5.0;

/// With incomplete metrics: waits over [`HARMED`] times the target for so long double the size.
const LATE: Duration = Duration::from_secs(30);

/// Fewer answers timed than given, by this share and for so many seconds: some are not seen (gRPC, failures).
const UNTIMED_SHARE: f64 = 0.8;
const UNTIMED_SECONDS: u32 = 300;

/// With queues of their own, the pod that a fifth of the pods is slower than decides.
const SLOW_QUANTILE: f64 = 0.8;
/// The standard normal quantile of that: what equal pods would show by chance.
const SLOW_BY_CHANCE: f64 = 0.84;
/// Answers behind a pod's own service time, and the fewest pods that make a quantile.
const OWN_ANSWERS: f64 = 300.0;
const FEWEST_PODS: usize = 5;

/// What a plan is made for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Situation<'a> {
    pub(crate) now: Moment,
    /// Replicas in the target's spec.
    pub(crate) current: u32,
    /// The largest size.
    pub(crate) most: u32,
    pub(crate) metric: &'a Metric,
    pub(crate) balancing: Balancing,
    /// How long a pod takes to start, in seconds.
    pub(crate) delay: f64,
}

/// Pods that one model takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Plan {
    pub(crate) pods: u32,
    pub(crate) reason: PlanReason,
    /// An input is missing.
    pub(crate) incomplete: Option<Incomplete>,
    /// Requests arrive and none is answered.
    pub(crate) stuck: bool,
    /// No step goes beyond this, whatever the size was (decision.md I3).
    pub(crate) up_to: u32,
    /// The server waits so long for a batch that the target cannot be kept, in seconds.
    pub(crate) batch_delay_above: Option<f64>,
}

/// What decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PlanReason {
    Demand,
    Backlog,
    Burst,
}

/// What is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Incomplete {
    /// Nobody counts answers.
    NoAnswerCount,
    /// Fewer answers are timed than given.
    AnswersDoNotMatch,
    /// Nobody tells how many workers there are.
    WorkersUnknown,
}

/// Why there is no plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoPlan {
    /// No pod that serves has a fresh reading.
    NobodyReports,
    /// Too little was seen yet.
    TooSoon,
    /// No request was answered yet, and the spec does not say how long one takes.
    NoServiceTime,
}

impl NoPlan {
    pub(crate) fn problem(self) -> &'static str {
        match self {
            Self::NobodyReports => "no pod has a fresh reading",
            Self::TooSoon => "observing: a rate takes 5 s to tell",
            Self::NoServiceTime => {
                "no request was answered yet: how long one takes is not known (serviceTime may say)"
            }
        }
    }
}

impl ModelState {
    /// The pods that this model takes, and the steps that led there.
    pub(crate) fn plan(
        &mut self,
        situation: &Situation<'_>,
        census: &mut Census,
        steps: &mut Vec<Step>,
    ) -> Result<Plan, NoPlan> {
        self.ledger.expect(census.ready);
        if census.told == 0 {
            return Err(NoPlan::NobodyReports);
        }
        let second = self.ledger.now();
        let turns = self.turn_over(second);
        if self.ledger.window(60).seconds < FIRST_SECONDS {
            return Err(NoPlan::TooSoon);
        }
        let began = *self.began.get_or_insert((second, situation.current));
        let ready = f64::from(census.ready.max(1));
        let (slots, workers_known) = self.slots(situation.metric, census);
        let full = census.in_system > f64::from(slots) * ready;
        let incomplete = self.incomplete(census, workers_known, turns);
        let service = self
            .service_time(situation.metric, census, full, incomplete)
            .ok_or(NoPlan::NoServiceTime)?;
        let rate = self.arrivals.rate(&self.ledger, situation.delay);
        let capacity = self.capacity(situation, census, service, slots, rate);
        let need = Need {
            now: capacity.need(rate.now, 1.0, &mut self.occupancies),
            ahead: capacity.need(rate.ahead, 1.0, &mut self.occupancies),
        };
        let waited = self.waited(&capacity, census, rate);
        let setting = self.hindsight.setting();
        let chosen = if setting.trend { need.ahead } else { need.now };
        let needed = whole(setting.pods(chosen));
        let standing = Standing {
            rate: rate.now,
            service: capacity.service,
            workers: f64::from(slots),
            target: capacity.target,
            ready,
            in_system: census.in_system,
            starting: &census.starting,
            delay: situation.delay,
            own_queue: (situation.balancing == Balancing::Random)
                .then(|| own_queue(&mut census.own))
                .flatten(),
        };
        let surge = standing.surge(needed);
        let queues = mean_queue(&census.own, slots, capacity.service);
        let waiting = match situation.balancing {
            Balancing::Random => queues > capacity.target,
            Balancing::LeastRequest => surge.backlog > 0.0,
        };
        if turns > 0 {
            self.learn_second(
                &capacity,
                rate,
                need,
                surge,
                waited,
                census.ready,
                situation.delay,
                second,
            );
        }
        let offered = rate.now * capacity.service / f64::from(slots);
        let harm = surge.backlog > 0.0 && waited.is_some_and(|wait| wait > HARM * capacity.target);
        let due = self.burst(second, harm, needed, offered, situation.delay, turns);

        steps.push(Step::Demand {
            model: situation.metric.model.clone(),
            rate: rate.now,
            seen_in: Duration::from_secs(rate.seen_in),
            slow: rate.slow,
        });
        if setting.trend && rate.ahead > rate.now {
            steps.push(Step::Trend {
                rate: rate.ahead,
                ahead: Duration::from_secs_f64(situation.delay.max(0.0)),
            });
        }
        steps.push(Step::Capacity {
            service: seconds(capacity.service),
            slots,
            busy: capacity.occupancy(1.0, &mut self.occupancies),
            pooled: situation.balancing == Balancing::LeastRequest,
            target: situation.metric.target.latency(),
        });
        steps.push(Step::Needed {
            pods: chosen,
            headroom: setting.headroom,
            replicas: needed,
        });

        let held = self.held(second, began, needed);
        let mut plan = Plan {
            pods: needed,
            reason: PlanReason::Demand,
            incomplete,
            stuck: false,
            up_to: whole((9.0 * offered.max(1.0)).ceil()),
            batch_delay_above: (census.batch > 1.0
                && census.batch_delay >= situation.metric.target.latency().as_secs_f64())
            .then_some(census.batch_delay),
        };
        if needed < situation.current && held > needed {
            plan.pods = held;
            steps.push(Step::Held {
                replicas: held,
                window: Duration::from_secs_f64(setting.hold),
            });
        }
        let ordered = self.orders.place(second, surge.pods, waiting);
        if ordered > plan.pods {
            plan.pods = ordered;
            plan.reason = PlanReason::Backlog;
            steps.push(Step::Backlog {
                waiting: surge.backlog,
                starting: u32::try_from(census.starting.len()).unwrap_or(u32::MAX),
                replicas: ordered,
            });
        }
        if let Some(due) = due
            && due.pods > plan.pods
        {
            plan.pods = due.pods;
            plan.reason = PlanReason::Burst;
            steps.push(Step::BurstDue {
                every: Duration::from_secs_f64(due.every),
                within: due.within,
                replicas: due.pods,
            });
        }
        self.rails(
            situation, census, &capacity, waited, waiting, surge, &mut plan, steps,
        );
        Ok(plan)
    }

    /// Seconds that have passed since the last plan; what fades, fades.
    fn turn_over(&mut self, second: u64) -> u64 {
        let turns = if self.turned == 0 {
            1
        } else {
            second.saturating_sub(self.turned)
        };
        for at in second.saturating_sub(turns.min(60)) + 1..=second {
            self.fade();
            if at % 10 == 0 {
                self.service.settle();
                self.arrivals.settle(&self.ledger);
            }
        }
        self.turned = self.turned.max(second);
        turns
    }

    /// Requests that a pod works on at a time, and whether somebody told.
    fn slots(&self, metric: &Metric, census: &Census) -> (u32, bool) {
        if census.queues > 0 && census.workers > 0.0 {
            return (whole((census.workers * census.batch).round()).max(1), true);
        }
        match metric.workers {
            Some(workers) => (workers.max(1), true),
            None => (whole((self.busiest - 0.1).ceil()).max(1), false),
        }
    }

    fn incomplete(
        &mut self,
        census: &Census,
        workers_known: bool,
        turns: u64,
    ) -> Option<Incomplete> {
        let timed = self.ledger.window(60);
        let own = timed.served / timed.answered.max(1.0);
        let unseen = census.counting > 0
            && timed.answered >= 30.0
            && census
                .gauge
                .is_some_and(|gauge| own < UNTIMED_SHARE * gauge);
        let turns = u32::try_from(turns).unwrap_or(u32::MAX);
        self.untimed = if unseen {
            self.untimed.saturating_add(turns)
        } else {
            0
        };
        if census.counting == 0 && timed.arrivals > 0.0 {
            Some(Incomplete::NoAnswerCount)
        } else if self.untimed >= UNTIMED_SECONDS {
            Some(Incomplete::AnswersDoNotMatch)
        } else if !workers_known {
            Some(Incomplete::WorkersUnknown)
        } else {
            None
        }
    }

    /// How long a request takes, in seconds.
    fn service_time(
        &mut self,
        metric: &Metric,
        census: &Census,
        full: bool,
        incomplete: Option<Incomplete>,
    ) -> Option<f64> {
        let measured = self.service.measure(&self.ledger, full);
        let prior = metric.service.map(|service| service.as_secs_f64());
        match incomplete {
            // Answers that are not timed make the mean too small; the server's own measure has them all.
            Some(Incomplete::AnswersDoNotMatch) => census.gauge.or(measured),
            Some(Incomplete::NoAnswerCount) => {
                census.gauge.or(measured).or_else(|| self.by_arrivals())
            }
            _ => measured,
        }
        .or(prior)
        .filter(|seconds| *seconds > 0.0)
    }

    /// Without any count of answers: while nothing piles up, as many are answered as arrive.
    fn by_arrivals(&self) -> Option<f64> {
        let calm = self.ledger.window(300);
        (calm.arrivals >= 30.0 && calm.served > 0.0).then(|| calm.served / calm.arrivals)
    }

    fn capacity(
        &mut self,
        situation: &Situation<'_>,
        census: &Census,
        service: f64,
        slots: u32,
        rate: Rate,
    ) -> Capacity {
        let ready = f64::from(census.ready.max(1));
        let (mut service, mut target) = (service, situation.metric.target.latency().as_secs_f64());
        if census.batch > 1.0 {
            if census.in_system > 2.0 * f64::from(slots) * ready {
                let answered = self.ledger.window(5);
                self.peak = self
                    .peak
                    .max(answered.answered / answered.seconds.max(1.0) / ready);
            }
            // Batches that are not full are quicker than full ones: the throughput of a full pod says what it can do.
            if self.peak > 0.0 {
                service = service.max(f64::from(slots) / self.peak);
            }
            target = (target - forming(census, rate, ready)).max(0.1 * target);
        } else if census.queues == 0 {
            let busy = self
                .ledger
                .window(whole((5.0 * service).max(STUCK_SECONDS)).into());
            self.busiest = self
                .busiest
                .max(busy.served / busy.seconds.max(1.0) / ready);
        }
        let unevenness = self.arrivals.unevenness();
        let unevenness = match situation.balancing {
            // A pod sees a part of the stream, and the smaller the part the more it is like Poisson.
            Balancing::Random => 1.0 + (unevenness - 1.0).max(0.0) / ready,
            Balancing::LeastRequest => unevenness,
        };
        let variability = (unevenness + self.service.variation()) / 2.0;
        Capacity {
            service,
            slots,
            variability: variability * self.calibration.factor(),
            target,
            wait: match situation.metric.aggregate {
                Aggregate::Mean => Wait::Mean,
                Aggregate::P95 => Wait::Exceeded(0.05),
                Aggregate::Max => Wait::Exceeded(0.01),
            },
            balancing: situation.balancing,
            slowest: match situation.balancing {
                Balancing::Random => slowest(census, service, self.service.variation()),
                Balancing::LeastRequest => 1.0,
            },
            most: situation.most,
        }
    }

    /// The mean wait of the answers of the last ten seconds, in seconds, without what forms batches.
    fn waited(&self, capacity: &Capacity, census: &Census, rate: Rate) -> Option<f64> {
        let answered = self.ledger.window(10);
        let ready = f64::from(census.ready.max(1));
        let forming = if census.batch > 1.0 {
            forming(census, rate, ready)
        } else {
            0.0
        };
        if answered.answered >= 5.0 {
            Some((answered.waited / answered.answered - forming).max(0.0))
        } else if census.counting == 0 {
            census.wait.map(|wait| (wait - forming).max(0.0))
        } else {
            let _ = capacity;
            None
        }
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "what one second taught; one caller"
    )]
    fn learn_second(
        &mut self,
        capacity: &Capacity,
        rate: Rate,
        need: Need,
        surge: Surge,
        waited: Option<f64>,
        ready: u32,
        delay: f64,
        second: u64,
    ) {
        let minute = self.ledger.window(60);
        let pods = f64::from(ready.max(1));
        let lately = self.ledger.window(10).rate();
        let _ = waited;
        self.calibration.learn(&Minute {
            waited: minute.waited / minute.answered.max(1.0),
            answered: minute.answered,
            predicted: Capacity {
                variability: capacity.variability / self.calibration.factor(),
                wait: Wait::Mean,
                ..*capacity
            }
            .predicted(rate.now, pods),
            busy: rate.now * capacity.service / (f64::from(capacity.slots) * pods),
            even: (lately - rate.now).abs() < 0.15 * rate.now,
            pods: ready,
            backlog: surge.pods > 0,
        });
        if let Some(arrivals) = self.ledger.newest_whole() {
            let pods = capacity.need(arrivals, HARMED, &mut self.occupancies);
            self.hindsight.second(pods);
        }
        if second.is_multiple_of(EVERY) {
            self.hindsight.look(need, delay);
        }
    }

    fn burst(
        &mut self,
        second: u64,
        harm: bool,
        needed: u32,
        offered: f64,
        delay: f64,
        turns: u64,
    ) -> Option<Due> {
        let _ = turns;
        self.recurrence.learn(second, harm, needed, offered, delay)
    }

    /// The size below which nothing goes for now.
    fn held(&self, second: u64, began: (u64, u32), needed: u32) -> u32 {
        let setting = self.hindsight.setting();
        let past = self.hindsight.highest();
        let held = if past > 0.0 {
            whole(setting.pods(past))
        } else {
            0
        };
        let first = if second - began.0 < HELD_AT_FIRST {
            began.1
        } else {
            0
        };
        held.max(first).max(needed)
    }

    #[expect(clippy::too_many_arguments, reason = "one caller")]
    fn rails(
        &mut self,
        situation: &Situation<'_>,
        census: &Census,
        capacity: &Capacity,
        waited: Option<f64>,
        waiting: bool,
        surge: Surge,
        plan: &mut Plan,
        steps: &mut Vec<Step>,
    ) {
        let current = situation.current;
        let _ = surge;
        if plan.pods < current {
            let slow = waited.is_some_and(|wait| wait > capacity.target);
            let unseen = waited.is_none() && census.in_system > 0.0;
            let kept = census.ready.min(current);
            if (slow || waiting || unseen) && plan.pods < kept {
                plan.pods = kept;
                steps.push(Step::KeptWhileWaiting {
                    wait: Latency::from_secs_f64(waited.or(census.wait).unwrap_or_default())
                        .unwrap_or(Latency::ZERO),
                    replicas: kept,
                });
            }
        }
        if plan.pods > current && census.overdue > 0 && census.overdue >= current.div_ceil(2) {
            // More pods of a version that does not become ready help nobody.
            plan.pods = current;
            steps.push(Step::NotReady {
                overdue: census.overdue,
            });
        }
        plan.stuck = self.is_stuck(capacity, census);
        match (plan.stuck, self.stuck) {
            (false, _) => self.stuck = None,
            (true, None) => self.stuck = Some(plan.pods.max(current)),
            (true, Some(size)) => {
                plan.pods = plan.pods.min(size).max(current);
                steps.push(Step::Stuck {
                    replicas: plan.pods,
                });
            }
        }
        self.guard(situation, census, capacity, plan, steps);
    }

    fn is_stuck(&self, capacity: &Capacity, census: &Census) -> bool {
        let quiet = (STUCK_SERVICES * capacity.service).max(STUCK_SECONDS);
        let window = self.ledger.window(whole(quiet).into());
        census.counting > 0
            && window.seconds >= 0.9 * quiet.min(300.0)
            && window.arrivals >= 1.0
            && window.answered <= 0.0
            && census.in_system >= 1.0
    }

    /// With incomplete metrics the model may be blind: then the latency itself decides, slowly.
    fn guard(
        &mut self,
        situation: &Situation<'_>,
        census: &Census,
        capacity: &Capacity,
        plan: &mut Plan,
        steps: &mut Vec<Step>,
    ) {
        let late = plan.incomplete.is_some()
            && plan.pods <= situation.current
            && census
                .wait
                .is_some_and(|wait| wait > HARMED * capacity.target);
        if !late {
            self.late_since = None;
            return;
        }
        let since = *self.late_since.get_or_insert(situation.now);
        plan.pods = plan.pods.max(situation.current);
        if situation.now.since(since) >= LATE {
            self.late_since = Some(situation.now);
            plan.pods = situation.current.saturating_mul(2);
            plan.reason = PlanReason::Backlog;
            steps.push(Step::Guard {
                wait: Latency::from_secs_f64(census.wait.unwrap_or_default())
                    .unwrap_or(Latency::ZERO),
                replicas: plan.pods,
            });
        }
    }
}

/// How long a request waits for its batch to be complete, in seconds.
fn forming(census: &Census, rate: Rate, ready: f64) -> f64 {
    let each = (rate.now / ready).max(1e-9);
    census.batch_delay.min((census.batch - 1.0) / (2.0 * each))
}

/// The mean wait before the pods' own queues, in seconds.
fn mean_queue(own: &[f32], slots: u32, service: f64) -> f64 {
    let slots = f64::from(slots);
    let waiting: f64 = own
        .iter()
        .map(|own| (f64::from(*own) - slots).max(0.0))
        .sum();
    #[expect(clippy::cast_precision_loss, reason = "a number of pods")]
    let pods = own.len().max(1) as f64;
    waiting * service / slots / pods
}

/// How much slower than the mean the slow pods are, beyond what equal pods would show by chance.
fn slowest(census: &Census, service: f64, variation: f64) -> f64 {
    let own = &census.services;
    if own.len() < FEWEST_PODS {
        return 1.0;
    }
    // The number of pods that are slower than a candidate decides; few pods, so no sorting in place of a scratch.
    #[expect(clippy::cast_precision_loss, reason = "a number of pods")]
    let above = (1.0 - SLOW_QUANTILE) * own.len() as f64;
    let found = own
        .iter()
        .filter(|candidate| {
            let slower = own.iter().filter(|other| other > candidate).count();
            #[expect(clippy::cast_precision_loss, reason = "a number of pods")]
            let slower = slower as f64;
            slower <= above
        })
        .fold(f32::INFINITY, |least, candidate| least.min(*candidate));
    let chance = SLOW_BY_CHANCE * (variation / OWN_ANSWERS).sqrt();
    (f64::from(found) / service - chance).max(1.0)
}

fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
}
