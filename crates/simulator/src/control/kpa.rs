//! Knative's rule on concurrency.

use std::collections::VecDeque;

use super::Controller;
use crate::cluster::{PodState, View};

/// Requests in a pod are averaged over so many seconds, and over so many to see a burst.
const STABLE: usize = 60;
const PANIC: usize = 6;

/// A pod is to be this full.
const UTILISATION: f64 = 0.7;

/// It decides every second second.
const TICK: usize = 2;

/// A burst is what asks for so many times the pods that serve.
const BURST: f64 = 2.0;

/// Knative's pod autoscaler with its defaults, on the requests in all pods as one second's readings tell them: better
/// than what its own proxies would tell it. Without the activator, which holds requests back while pods start.
#[derive(Debug)]
pub struct Kpa {
    /// A size outlives its load by so many seconds (`scale-down-delay`).
    delay: usize,
    concurrency: VecDeque<u64>,
    panic_since: Option<usize>,
    panic_pods: u64,
    proposals: VecDeque<(usize, u64)>,
}

impl Kpa {
    /// With this `scale-down-delay`, in seconds; Knative's default is 0.
    pub fn new(delay: usize) -> Self {
        Self {
            delay,
            concurrency: VecDeque::new(),
            panic_since: None,
            panic_pods: 0,
            proposals: VecDeque::new(),
        }
    }

    /// Pods for the mean concurrency of the last seconds.
    fn pods_for(&self, seconds: usize, workers: u32) -> u64 {
        let count = seconds.min(self.concurrency.len());
        let lately = self.concurrency.iter().rev().take(count).sum::<u64>();
        let mean = lately as f64 / count.max(1) as f64;
        let pods = (mean / (f64::from(workers) * UTILISATION) - 1e-9).ceil();
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
        let ready = u64::from(view.count(PodState::Serving).max(1));
        let replicas = u64::from(view.replicas);
        // It halves at most.
        let stable = self.pods_for(STABLE, view.workers).max(ready / 2);
        let burst = self.pods_for(PANIC, view.workers);
        if burst as f64 / ready as f64 >= BURST {
            self.panic_since = Some(now);
        } else if self.panic_since.is_some_and(|since| now - since > STABLE) {
            self.panic_since = None;
            self.panic_pods = 0;
        }
        let mut wanted = stable;
        if self.panic_since.is_some() {
            if self.panic_pods == 0 {
                self.panic_pods = replicas;
            }
            self.panic_pods = self.panic_pods.max(burst);
            // In panic it never goes down.
            wanted = self.panic_pods.max(stable).max(replicas);
        }
        if self.delay > 0 {
            self.proposals.push_back((now, wanted));
            while self
                .proposals
                .front()
                .is_some_and(|(at, _)| at + self.delay < now)
            {
                self.proposals.pop_front();
            }
            let highest = self.proposals.iter().map(|(_, size)| *size).max();
            wanted = highest.unwrap_or(wanted);
        }
        Some(view.goal.clamp(u32::try_from(wanted).unwrap_or(u32::MAX)))
    }
}
