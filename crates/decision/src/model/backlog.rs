//! Requests that have piled up, and how many pods work them off.

use std::collections::VecDeque;

use crate::snapshot::Snapshot;

use super::queueing::whole;

/// A backlog is to be worked off within so many service times, and not sooner than in a second.
const DRAIN_SERVICES: f64 = 10.0;
const DRAIN_LEAST: f64 = 1.0;

/// At most so many times the offered load is ordered beyond it.
const SURGE_MOST: f64 = 8.0;

/// Above this share of its workers a fleet counts as full even without a backlog.
const FULL: f64 = 0.98;

/// The forecast lets a queue grow to so many requests a pod. Those turned away beyond are demand all the same, so
/// a small real limit must not make the order small.
const QUEUE_MOST: f64 = 1000.0;

/// A pod's own queue is to be empty within so many seconds, or within so many times what it takes by itself.
const OLD_DRAIN: f64 = 10.0;
const OLD_DRAIN_SHARE: f64 = 1.15;

/// Of the pods' own queues, the one that a tenth exceed.
const OLD_QUANTILE: f64 = 0.9;

/// An order stands for so long, so that it is not cancelled and given again; and for so much longer than the queues.
const STANDS: u64 = 30;
const STANDS_AFTER: u64 = 3;

/// How things stand. Loads in busy workers, times in seconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Standing<'a> {
    /// Arrivals a second, beyond doubt.
    pub(crate) rate: f64,
    pub(crate) service: f64,
    pub(crate) workers: f64,
    pub(crate) target: f64,
    /// Pods that serve.
    pub(crate) ready: f64,
    /// All requests in all pods.
    pub(crate) in_system: f64,
    /// When each pod on its way will be ready, in seconds from now, soonest first.
    pub(crate) starting: &'a [f32],
    /// How long a pod takes that is ordered now.
    pub(crate) delay: f64,
    /// Requests in a pod's own queue, of the pod that a tenth exceed; `None` with one common queue.
    pub(crate) own_queue: Option<f64>,
}

/// What a backlog asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Surge {
    /// Requests beyond what a steady fleet holds.
    pub(crate) backlog: f64,
    /// Pods that it takes; 0: no backlog.
    pub(crate) pods: u32,
}

impl Standing<'_> {
    pub(crate) fn surge(&self, steady: u32) -> Surge {
        let offered = self.rate * self.service / self.workers;
        let usual = self.rate * (self.service + 2.0 * self.target);
        let backlog = (self.in_system - usual - 4.0 * usual.max(1.0).sqrt()).max(0.0);
        if backlog <= 0.0 && offered <= FULL * self.ready {
            return Surge::default();
        }
        let left = self.left_when_all_serve(backlog);
        let drain = DRAIN_LEAST.max(DRAIN_SERVICES * self.service);
        let extra =
            (left * self.service / (self.workers * drain)).min(SURGE_MOST * offered.max(1.0));
        if backlog <= 0.0 && extra <= 0.0 {
            return Surge::default();
        }
        let wanted = (offered + extra).max(if backlog > 0.0 {
            self.for_old_queues(offered)
        } else {
            0.0
        });
        Surge {
            backlog,
            pods: whole((wanted - 0.02).ceil()).max(steady),
        }
    }

    /// The backlog at the moment when the last pod on its way serves.
    fn left_when_all_serve(&self, backlog: f64) -> f64 {
        let per_pod = self.workers / self.service;
        let most = self.ready * (QUEUE_MOST + self.workers);
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

    /// An old pod works its own queue off only with what its share of the arrivals leaves free: more pods make the
    /// share smaller.
    fn for_old_queues(&self, offered: f64) -> f64 {
        let Some(own) = self.own_queue else {
            return 0.0;
        };
        let seconds = (own - self.workers).max(0.0) * self.service / self.workers;
        if seconds <= 1.0 {
            return 0.0;
        }
        offered / (1.0 - seconds / OLD_DRAIN.max(OLD_DRAIN_SHARE * seconds))
    }
}

/// The quantile of the pods' own queues, by linear interpolation; sorts `queues`.
pub(crate) fn own_queue(queues: &mut [f32]) -> Option<f64> {
    queues.sort_unstable_by(f32::total_cmp);
    #[expect(clippy::cast_precision_loss, reason = "a number of pods")]
    let place = OLD_QUANTILE * queues.len().checked_sub(1)? as f64;
    let lower = whole(place.floor()) as usize;
    let low = f64::from(*queues.get(lower)?);
    let high = queues.get(lower + 1).map_or(low, |high| f64::from(*high));
    Some(low + (high - low) * place.fract())
}

/// Orders that stand.
#[derive(Clone, Debug, Default)]
pub(crate) struct Orders {
    /// Second and pods; pods fall from front to back.
    standing: VecDeque<(u64, u32)>,
    /// The last second in which requests waited.
    waited: u64,
}

impl Orders {
    pub(crate) fn visit(&mut self, snapshot: &mut Snapshot) {
        let mut standing: Vec<_> = std::mem::take(&mut self.standing).into();
        snapshot.list(
            &mut standing,
            Default::default,
            |snapshot, (second, pods)| {
                snapshot.u64(second);
                snapshot.u32(pods);
            },
        );
        self.standing = standing.into();
        snapshot.u64(&mut self.waited);
    }

    /// Adds this second's order; gives the largest that stands.
    pub(crate) fn place(&mut self, second: u64, pods: u32, waiting: bool) -> u32 {
        if waiting || pods > 0 {
            self.waited = second;
        }
        if second.saturating_sub(self.waited) > STANDS_AFTER {
            self.standing.clear();
        }
        while self
            .standing
            .front()
            .is_some_and(|(at, _)| at + STANDS < second)
        {
            self.standing.pop_front();
        }
        while self.standing.back().is_some_and(|(_, less)| *less <= pods) {
            self.standing.pop_back();
        }
        if pods > 0 {
            self.standing.push_back((second, pods));
        }
        self.standing.front().map_or(0, |(_, pods)| *pods)
    }
}
