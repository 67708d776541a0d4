//! Knative's autoscaling by concurrency.

use std::collections::VecDeque;

use super::Controller;
use crate::cluster::{PodState, View};

/// Stable window, in seconds.
const STABLE: usize = 60;
/// Panic window, in seconds.
const PANIC: usize = 6;

/// Interval of decisions, in seconds.
const TICK: usize = 2;

/// Panic threshold: the panic window's demand in multiples of the ready pods.
const BURST: f64 = 2.0;

/// Knative's pod autoscaler. Its input is the number of requests in all pods, read every second,
/// which is more accurate than what Knative's own proxies report. The activator, which holds requests back while pods
/// start, is not simulated.
#[derive(Debug)]
pub struct Kpa {
    /// The `scale-down-delay`, in seconds.
    delay: usize,
    /// The target utilisation of a pod.
    utilisation: f64,
    concurrency: VecDeque<u64>,
    panic_since: Option<usize>,
    panic_pods: u64,
    proposals: VecDeque<(usize, u64)>,
}

impl Kpa {
    /// Creates an autoscaler with this `scale-down-delay`, in seconds, and this target utilisation of a pod. Knative's
    /// defaults are 0 and 0.7.
    pub fn new(delay: usize, utilisation: f64) -> Self {
        Self {
            delay,
            utilisation,
            concurrency: VecDeque::new(),
            panic_since: None,
            panic_pods: 0,
            proposals: VecDeque::new(),
        }
    }

    /// Returns the pods for the mean concurrency of the last `seconds`.
    fn pods_for(&self, seconds: usize, workers: u32) -> u64 {
        let count = seconds.min(self.concurrency.len());
        let lately = self.concurrency.iter().rev().take(count).sum::<u64>();
        let mean = lately as f64 / count.max(1) as f64;
        let pods = (mean / (f64::from(workers) * self.utilisation) - 1e-9).ceil();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a number of pods, and a double saturates"
        )]
        let pods = pods as u64;
        pods
    }
}

impl Controller for Kpa {
    fn decide(&mut self, view: &View<'_>) -> Option<u32> {
        let now = view.second;
        if !view.silent {
            self.concurrency.push_back(view.in_system());
            if self.concurrency.len() > STABLE {
                self.concurrency.pop_front();
            }
        }
        if !now.is_multiple_of(TICK) {
            return None;
        }
        let ready = u64::from(view.count(PodState::Ready).max(1));
        let replicas = u64::from(view.replicas);
        // A decision removes at most half of the ready pods.
        let stable = self.pods_for(STABLE, view.workers).max(ready / 2);
        let burst = self.pods_for(PANIC, view.workers);
        if burst as f64 / ready as f64 >= BURST {
            self.panic_since = Some(now);
        } else if self.panic_since.is_some_and(|since| now - since > STABLE) {
            self.panic_since = None;
            self.panic_pods = 0;
        }
        let mut desired = stable;
        if self.panic_since.is_some() {
            if self.panic_pods == 0 {
                self.panic_pods = replicas;
            }
            self.panic_pods = self.panic_pods.max(burst);
            // Panic mode never scales down.
            desired = self.panic_pods.max(stable).max(replicas);
        }
        if self.delay > 0 {
            self.proposals.push_back((now, desired));
            while self
                .proposals
                .front()
                .is_some_and(|(at, _)| at + self.delay < now)
            {
                self.proposals.pop_front();
            }
            let highest = self.proposals.iter().map(|(_, size)| *size).max();
            desired = highest.unwrap_or(desired);
        }
        Some(view.goal.clamp(u32::try_from(desired).unwrap_or(u32::MAX)))
    }
}
