//! The backlog, and the pods that work it off.

use std::collections::VecDeque;

use crate::policy::ViolationPrice;
use crate::snapshot::visit;
use crate::step::BacklogBound;

use super::rules::Rule;
use crate::numbers::to_u32_saturating;

/// A backlog is worked off within this many service times, but not in less than a second.
const DRAIN_SERVICES: f64 = 10.0;
const DRAIN_MIN_SECONDS: f64 = 1.0;

/// The cost of a pod that is started for a backlog, in start delays. At no cost, a step from 1,500/s to 3,000/s ordered
/// 960 pods where 260 are needed; at a quarter of a start delay 440, at a half or a whole one 390. A whole one has 2.6%
/// more violation seconds in the shared scenarios.
const START_COST: f64 = 0.5;

/// The longest queue of a pod in the forecast. Rejected requests are demand as well, so a smaller real limit must not
/// reduce the proposal.
const MAX_QUEUE: f64 = 1000.0;

/// A pod's own queue is worked off within this many seconds, or this multiple of the time that it needs without new
/// arrivals.
const OWN_DRAIN_SECONDS: f64 = 10.0;
const OWN_DRAIN_FACTOR: f64 = 1.15;

/// The quantile of the pods' own queues that counts.
const OWN_QUANTILE: f64 = 0.9;

/// A proposal for a backlog is kept for a start delay, because its pods cannot serve before, and for at least this many
/// seconds, but for at most `KEPT_AFTER_WAITING` seconds after requests last waited. With 30 s and 3 s, 1.6% of the
/// size changes in the shared scenarios were taken back within 10 s; with a start delay and 10 s, 0.8%.
const KEPT_ORDER_SECONDS: u64 = 30;
const KEPT_AFTER_WAITING: u64 = 10;

/// The input for the backlog. Loads are in busy workers, times in seconds.
#[derive(Debug)]
pub(crate) struct BacklogInputs<'a> {
    /// Arrival rate per second.
    pub(crate) rate: f64,
    pub(crate) service: f64,
    pub(crate) workers: f64,
    pub(crate) target: f64,
    /// Ready pods.
    pub(crate) ready: f64,
    /// Waiting and in-flight requests in all pods.
    pub(crate) in_system: f64,
    /// Seconds until each starting pod is ready, in ascending order.
    pub(crate) starting: &'a [f32],
    /// The start delay of a pod.
    pub(crate) delay: f64,
    /// Waiting and in-flight requests in each pod with its own queue; none with one shared queue. Reordered.
    pub(crate) requests_per_pod: &'a mut [f32],
    /// The price of a second in which requests wait too long.
    pub(crate) violation_price: ViolationPrice,
}

/// The backlog and the pods that it needs.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Backlog {
    /// Requests beyond those of a steady fleet.
    pub(crate) requests: f64,
    /// Pods that work it off; 0 without a backlog.
    pub(crate) pods: u32,
    pub(crate) bound_by: BacklogBound,
}

impl BacklogInputs<'_> {
    pub(crate) fn backlog(&mut self, steady: u32) -> Backlog {
        let offered = self.rate * self.service / self.workers;
        let usual = self.rate * (self.service + 2.0 * self.target);
        if !Rule::Backlog.applies() {
            return Backlog::default();
        }
        let backlog = (self.in_system - usual - 4.0 * usual.max(1.0).sqrt()).max(0.0);
        if backlog <= 0.0 {
            return Backlog::default();
        }
        let left = self.backlog_once_started(backlog);
        let drain = DRAIN_MIN_SECONDS.max(DRAIN_SERVICES * self.service);
        let work = left * self.service / self.workers;
        // The number of pods that minimizes price · work / pods + cost · pods: each pod costs its start, and each
        // second of the backlog its price. The same holds for the pods' own queues, whose work is shared by all pods:
        // without it, random loads with long queues took 20% more pod starts.
        let price = self.violation_price.for_fleet(offered.max(1.0));
        let cost = START_COST * self.delay;
        let cheapest = |work: f64| (price * work / cost.max(1.0)).sqrt();
        let in_time = work / drain;
        let extra = in_time.min(cheapest(work));
        let own = self.own_queue_seconds();
        let own_in_time = extra_for_own_queues(offered, own);
        let own_extra = own_in_time.min(cheapest(own * offered));
        let pods = |extra: f64| to_u32_saturating((offered + extra - 0.02).ceil()).max(steady);
        let wanted = pods(extra.max(own_extra));
        let is_in_time = wanted >= pods(in_time.max(own_in_time));
        Backlog {
            requests: backlog,
            pods: wanted,
            bound_by: if is_in_time {
                BacklogBound::DrainTime
            } else {
                BacklogBound::StartCost
            },
        }
    }

    /// Returns the backlog at the time when the last starting pod is ready.
    fn backlog_once_started(&self, backlog: f64) -> f64 {
        let per_pod = self.workers / self.service;
        let most = self.ready * (MAX_QUEUE + self.workers);
        let (mut left, mut serving, mut before) = (backlog, self.ready, 0.0);
        for eta in self.starting {
            let eta = f64::from(*eta);
            left = (left + (self.rate - serving * per_pod) * (eta - before)).clamp(0.0, most);
            serving += 1.0;
            before = eta;
        }
        if self.starting.is_empty() {
            left = (left + (self.rate - serving * per_pod) * self.delay).clamp(0.0, most);
        }
        left
    }

    /// Returns the seconds in which a pod works off its own queue without new arrivals, if that takes more than one.
    fn own_queue_seconds(&mut self) -> f64 {
        let own = own_queue(self.requests_per_pod).unwrap_or_default();
        let seconds = (own - self.workers).max(0.0) * self.service / self.workers;
        if seconds <= 1.0 || !Rule::OwnQueues.applies() {
            return 0.0;
        }
        seconds
    }
}

/// Returns how many pods beyond `offered` fully utilised ones are needed so that each pod works off its own queue of
/// `seconds` in time.
///
/// A pod works off its queue only with the capacity that its share of the arrivals leaves; more pods reduce that share.
fn extra_for_own_queues(offered: f64, seconds: f64) -> f64 {
    let occupied = seconds / OWN_DRAIN_SECONDS.max(OWN_DRAIN_FACTOR * seconds);
    offered * occupied / (1.0 - occupied)
}

/// Returns the 90th percentile of the pods' own queues, by linear interpolation. Reorders `queues`.
fn own_queue(queues: &mut [f32]) -> Option<f64> {
    let position = OWN_QUANTILE * queues.len().checked_sub(1)? as f64;
    let lower = to_u32_saturating(position.floor()) as usize;
    let (_, low, above) = queues.select_nth_unstable_by(lower, f32::total_cmp);
    let low = f64::from(*low);
    let high = above.iter().copied().min_by(f32::total_cmp);
    let high = high.map_or(low, f64::from);
    Some(low + (high - low) * position.fract())
}

/// The recent proposals for a backlog.
#[derive(Clone, Debug, Default)]
pub(crate) struct BacklogProposals {
    /// Second and pods, with decreasing pods.
    recent: VecDeque<(u64, u32)>,
    /// The last second in which requests waited.
    waited_at: u64,
}

visit!(BacklogProposals: recent, waited_at);

impl BacklogProposals {
    /// Adds the proposal of this second, and returns the largest that is kept; `delay` is the start delay of a pod in
    /// seconds.
    pub(crate) fn add(&mut self, second: u64, pods: u32, waiting: bool, delay: f64) -> u32 {
        if !Rule::KeptOrder.applies() {
            return pods;
        }
        let kept = KEPT_ORDER_SECONDS.max(to_u32_saturating(delay).into());
        if waiting || pods > 0 {
            self.waited_at = second;
        }
        if second.saturating_sub(self.waited_at) > KEPT_AFTER_WAITING {
            self.recent.clear();
        }
        while self
            .recent
            .front()
            .is_some_and(|(at, _)| at + kept < second)
        {
            self.recent.pop_front();
        }
        while self.recent.back().is_some_and(|(_, less)| *less <= pods) {
            self.recent.pop_back();
        }
        if pods > 0 {
            self.recent.push_back((second, pods));
        }
        self.recent.front().map_or(0, |(_, pods)| *pods)
    }
}
