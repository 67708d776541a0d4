//! Requests that have piled up, and the pods that clear them.

use crate::cluster::{PodState, PodView};

/// A pile is to be gone in so many service times, and no sooner than in a second.
const DRAIN: f64 = 10.0;

/// A surge is no more than so many times the offered load.
const MOST: f64 = 8.0;

/// The queue limit that the forecast assumes in each pod.
const QUEUE: f64 = 1000.0;

/// An old pod's own queue is to be gone in so many seconds, or in so many times as long as it takes to work on it.
const OWN_DRAIN: f64 = 10.0;
const OWN_MARGIN: f64 = 1.15;

/// What is known of the fleet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Standing<'a> {
    pub(super) rate: f64,
    pub(super) service: f64,
    pub(super) workers: f64,
    pub(super) target: f64,
    pub(super) ready: f64,
    pub(super) in_system: f64,
    /// When each starting pod will serve, in seconds from now.
    pub(super) expected: &'a [f64],
    pub(super) delay: f64,
}

/// What it takes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Surge {
    /// Requests beyond what a steady fleet holds.
    pub(super) backlog: f64,
    /// Pods beyond the offered load.
    pub(super) extra: f64,
}

impl Standing<'_> {
    /// The offered load, in pods.
    pub(super) fn offered(&self) -> f64 {
        self.rate * self.service / self.workers
    }

    pub(super) fn surge(&self) -> Surge {
        let usual = self.rate * (self.service + 2.0 * self.target);
        let backlog = (self.in_system - usual - 4.0 * usual.max(1.0).sqrt()).max(0.0);
        let overloaded = self.rate * self.service > 0.98 * self.workers * self.ready;
        let mut extra = 0.0;
        if backlog > 0.0 || overloaded {
            let left = self.left_when_all_serve(backlog);
            let drain = (DRAIN * self.service).max(1.0);
            extra =
                (left * self.service / (self.workers * drain)).min(MOST * self.offered().max(1.0));
        }
        Surge { backlog, extra }
    }

    /// The backlog at the moment when the last pod on its way serves, as a fluid.
    fn left_when_all_serve(&self, backlog: f64) -> f64 {
        let most = self.ready * (QUEUE + self.workers);
        let (mut left, mut serving, mut before) = (backlog, self.ready, 0.0);
        let mut flow = |until: f64, serving: f64| {
            let grows = self.rate - serving * self.workers / self.service;
            left = (left + grows * (until - before)).max(0.0).min(most);
            before = until;
        };
        if self.expected.is_empty() {
            flow(self.delay, serving);
        }
        for until in self.expected {
            flow(*until, serving);
            serving += 1.0;
        }
        left
    }

    /// Pods so that the old ones, with queues of their own, get rid of theirs: one drains only with what its share of
    /// the arrivals leaves free.
    pub(super) fn pods_to_drain(&self, pods: &[PodView]) -> f64 {
        let mut queues: Vec<f64> = pods
            .iter()
            .filter(|pod| pod.state == PodState::Serving)
            .map(|pod| f64::from(pod.reading.in_system))
            .collect();
        if queues.is_empty() {
            return 0.0;
        }
        queues.sort_unstable_by(f64::total_cmp);
        let waiting = (quantile(&queues, 0.9) - self.workers).max(0.0);
        let seconds = waiting * self.service / self.workers;
        if seconds <= 1.0 {
            return 0.0;
        }
        self.offered() / (1.0 - seconds / OWN_DRAIN.max(OWN_MARGIN * seconds))
    }
}

/// Between the two values that are nearest, in proportion.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let place = share * (sorted.len() - 1) as f64;
    let below = super::formulas::whole(place) as usize;
    let above = (below + 1).min(sorted.len() - 1);
    let part = place - below as f64;
    sorted[below] + (sorted[above] - sorted[below]) * part
}
