//! The backlog and the pods that clear it.

use pushscale_simulator::cluster::{PodState, PodView};

use super::whole;

/// Time in which the backlog is to be cleared, in service times; at least one second.
const DRAIN: f64 = 10.0;

/// Maximum surge, in multiples of the offered load.
const MAX_SURGE: f64 = 8.0;

/// The queue limit that the forecast assumes in each pod.
const QUEUE: f64 = 1000.0;

/// Minimum time in which an old pod's own queue is to be cleared, in seconds.
const OWN_DRAIN: f64 = 10.0;
/// The same in multiples of the time that the queue takes without new arrivals.
const OWN_MARGIN: f64 = 1.15;

/// The measured state of the fleet.
#[derive(Clone, Copy, Debug)]
pub(super) struct FleetState<'a> {
    pub(super) rate: f64,
    pub(super) service: f64,
    pub(super) workers: f64,
    pub(super) target: f64,
    pub(super) ready: f64,
    pub(super) in_system: f64,
    /// The remaining start delay of each starting pod, in seconds.
    pub(super) expected: &'a [f64],
    pub(super) delay: f64,
}

/// The demand beyond the steady state.
#[derive(Clone, Copy, Debug)]
pub(super) struct Surge {
    /// Waiting and in-flight requests beyond the normal number.
    pub(super) backlog: f64,
    /// Pods beyond the offered load.
    pub(super) extra: f64,
}

impl FleetState<'_> {
    /// Returns the offered load, in pods.
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
            extra = (left * self.service / (self.workers * drain))
                .min(MAX_SURGE * self.offered().max(1.0));
        }
        Surge { backlog, extra }
    }

    /// Returns the backlog at the time when the last starting pod becomes ready, in a fluid approximation.
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

    /// Returns the pods at which the old pods can clear their own queues. A pod clears its queue only with the capacity
    /// that its share of the arrivals leaves free.
    pub(super) fn pods_to_drain(&self, pods: &[PodView]) -> f64 {
        let mut queues: Vec<f64> = pods
            .iter()
            .filter(|pod| pod.state == PodState::Ready)
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

/// Interpolates linearly between the two nearest values.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let position = share * (sorted.len() - 1) as f64;
    let below = whole(position);
    let above = (below + 1).min(sorted.len() - 1);
    let part = position - below as f64;
    sorted[below] + (sorted[above] - sorted[below]) * part
}
