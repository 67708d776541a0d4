//! Starting pods and their start delay.

use std::collections::BTreeMap;

use pushscale_simulator::cluster::{PodState, PodView};

/// Start delay to assume before the first observed start, in seconds.
const INITIAL_START_DELAY: f64 = 75.0;

/// Weight of one start in the moving average.
const WEIGHT: f64 = 0.2;

#[derive(Debug)]
pub(super) struct Starts {
    /// The mean start delay, in seconds.
    pub(super) delay: f64,
    /// The second at which each starting pod was first seen.
    seen: BTreeMap<u64, usize>,
}

impl Starts {
    pub(super) fn new() -> Self {
        Self {
            delay: INITIAL_START_DELAY,
            seen: BTreeMap::new(),
        }
    }

    pub(super) fn observe(&mut self, now: usize, pods: &[PodView]) {
        for pod in pods {
            match pod.state {
                PodState::Starting => {
                    self.seen.entry(pod.id).or_insert(now);
                }
                PodState::Ready => {
                    if let Some(since) = self.seen.remove(&pod.id) {
                        self.delay += WEIGHT * ((now - since) as f64 - self.delay);
                    }
                }
                PodState::Unready | PodState::Terminating => {}
            }
        }
    }

    /// Returns the remaining start delay of each starting pod, in seconds, in ascending order.
    pub(super) fn expected(&self, now: usize, pods: &[PodView]) -> Vec<f64> {
        let mut expected: Vec<f64> = pods
            .iter()
            .filter(|pod| pod.state == PodState::Starting)
            .map(|pod| {
                let age = self.seen.get(&pod.id).map_or(0, |since| now - since);
                (self.delay - age as f64).max(1.0)
            })
            .collect();
        expected.sort_unstable_by(f64::total_cmp);
        expected
    }
}
