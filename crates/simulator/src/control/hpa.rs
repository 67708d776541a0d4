//! The HorizontalPodAutoscaler with metrics from Prometheus through an adapter.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::Controller;
use crate::cluster::{ClusterSpec, PodState, View};
use crate::quantity::to_u32_saturating;

/// A ratio within this distance of 1 does not change the replica count.
const TOLERANCE: f64 = 0.1;

/// Stabilization window for scaling down, in seconds.
const STABILIZATION: usize = 300;

/// Period in which the replica count at most doubles or grows by 4 pods, whichever is more, in seconds.
const LIMIT_SECONDS: usize = 15;

/// What the HPA scales on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HpaMetric {
    /// The queue latency, with the target of the cluster.
    Latency,
    /// The requests per second and pod, counted in front of the cluster. The target is the rate of a pod at the
    /// utilisation that meets the target of the cluster.
    Requests,
    /// The utilisation of the workers. Its target is that utilisation.
    Utilisation,
}

/// The metric, and the intervals of scraping, of the query and of decisions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HpaOptions {
    /// What the HPA scales on.
    pub metric: HpaMetric,
    /// Prometheus' scrape interval, in seconds.
    pub scrape: usize,
    /// The range of the query's `rate`, in seconds.
    pub window: usize,
    /// The HPA's sync period, in seconds.
    pub sync: usize,
}

impl Default for HpaOptions {
    fn default() -> Self {
        Self {
            metric: HpaMetric::Latency,
            scrape: 15,
            window: 60,
            sync: 15,
        }
    }
}

/// An HPA with one metric and no `behavior`.
///
/// The queue latency is an Object metric, `sum(rate(queue latency)) / sum(rate(requests))`. The others are External
/// metrics with an `AverageValue`: sums over the cluster, divided by the replicas.
///
/// Prometheus scrapes the pods at different offsets within the interval. Without arrivals the query has no result, and
/// the HPA keeps the replica count.
#[derive(Debug)]
pub struct Hpa {
    options: HpaOptions,
    /// The samples of each pod: the second of the scrape, the total queue latency in seconds, and the number of
    /// requests.
    samples: BTreeMap<u64, VecDeque<(usize, f64, u64)>>,
    /// The requests so far, or the busy workers of the cluster: the second of the scrape, and the number.
    sums: VecDeque<(usize, u64)>,
    /// The `AverageValue`. The HPA's tolerance is subtracted: at a target of 92%, 1.1 times as much would be more than
    /// the pods can do, and the HPA would not scale up.
    per_pod: f64,
    proposals: VecDeque<(usize, u32)>,
    sizes: VecDeque<(usize, u32)>,
}

impl Hpa {
    /// Creates an HPA for this cluster.
    pub fn new(options: HpaOptions, spec: &ClusterSpec) -> Self {
        let per_pod = match options.metric {
            HpaMetric::Requests => spec.requests_per_pod(),
            HpaMetric::Latency | HpaMetric::Utilisation => {
                spec.utilisation() * f64::from(spec.workers)
            }
        };
        Self {
            options,
            samples: BTreeMap::new(),
            sums: VecDeque::new(),
            per_pod: per_pod / (1.0 + TOLERANCE),
            proposals: VecDeque::new(),
            sizes: VecDeque::new(),
        }
    }

    fn scrape(&mut self, view: &View<'_>) {
        let scrape = self.options.scrape.max(1);
        if view.second.is_multiple_of(scrape) {
            match self.options.metric {
                HpaMetric::Requests => self.sums.push_back((view.second, view.arrived)),
                HpaMetric::Utilisation if !view.silent => {
                    let busy = view.in_workers();
                    self.sums.push_back((view.second, busy));
                }
                HpaMetric::Utilisation | HpaMetric::Latency => {}
            }
        }
        for pod in view.pods {
            let turn = usize::try_from(pod.id).unwrap_or_default() * 7 % scrape;
            if pod.state == PodState::Ready && pod.has_pushed && view.second % scrape == turn {
                let sample = (view.second, pod.reading.waited, pod.reading.arrivals);
                self.samples.entry(pod.id).or_default().push_back(sample);
            }
        }
    }

    /// Returns the mean wait over the window, in seconds, as the query computes it.
    fn latency(&mut self, view: &View<'_>) -> Option<f64> {
        let now = view.second;
        let ready: BTreeSet<u64> = view
            .pods
            .iter()
            .filter(|pod| pod.state == PodState::Ready)
            .map(|pod| pod.id)
            .collect();
        self.samples.retain(|id, _| ready.contains(id));
        let (mut waited, mut requests) = (0.0, 0);
        for samples in self.samples.values_mut() {
            forget(samples, |(at, ..)| at + self.options.window < now);
            if let (Some(first), Some(last)) = (samples.front(), samples.back()) {
                // A counter that was reset contributes nothing until the window begins after the reset.
                waited += (last.1 - first.1).max(0.0);
                requests += last.2.saturating_sub(first.2);
            }
        }
        (requests > 0).then(|| waited / requests as f64)
    }

    /// Returns the requests per second or the mean number of busy workers over the window.
    fn sum(&mut self, now: usize) -> Option<f64> {
        forget(&mut self.sums, |(at, _)| at + self.options.window < now);
        let ((from, first), (to, last)) = (*self.sums.front()?, *self.sums.back()?);
        if self.options.metric == HpaMetric::Requests {
            return (to > from).then(|| (last - first) as f64 / (to - from) as f64);
        }
        let busy: u64 = self.sums.iter().map(|(_, busy)| *busy).sum();
        Some(busy as f64 / self.sums.len() as f64)
    }

    /// Returns the ratio of the metric to its target, and the pods for a ratio of 1.
    fn ratio(&mut self, view: &View<'_>) -> Option<(f64, f64)> {
        if self.options.metric == HpaMetric::Latency {
            let ready = view.count(PodState::Ready);
            return Some((self.latency(view)? / view.goal.target, f64::from(ready)));
        }
        let replicas = f64::from(view.replicas);
        Some((self.sum(view.second)? / (self.per_pod * replicas), replicas))
    }
}

/// Removes the first entries that are too old.
fn forget<T>(entries: &mut VecDeque<T>, is_old: impl Fn(&T) -> bool) {
    while entries.front().is_some_and(&is_old) {
        entries.pop_front();
    }
}

impl Controller for Hpa {
    fn decide(&mut self, view: &View<'_>) -> Option<u32> {
        let now = view.second;
        self.scrape(view);
        self.sizes.push_back((now, view.replicas));
        forget(&mut self.sizes, |(at, _)| at + LIMIT_SECONDS < now);
        if !now.is_multiple_of(self.options.sync.max(1)) {
            return None;
        }
        let (ratio, pods) = self.ratio(view)?;
        let current = view.replicas;
        let mut desired = if (ratio - 1.0).abs() <= TOLERANCE {
            current
        } else {
            let proposed = to_u32_saturating((ratio * pods - 1e-9).ceil());
            // Starting and terminating pods must not reverse the direction.
            if ratio > 1.0 {
                proposed.max(current)
            } else {
                proposed.min(current)
            }
        };
        desired = view.goal.clamp(desired);
        self.proposals.push_back((now, desired));
        forget(&mut self.proposals, |(at, _)| at + STABILIZATION < now);
        if desired < current {
            let highest = self.proposals.iter().map(|(_, size)| *size).max();
            desired = current.min(highest.unwrap_or(desired));
        }
        if desired > current {
            let lately = self.sizes.iter().map(|(_, size)| *size).min();
            let base = lately.unwrap_or(current);
            desired = desired.min((base * 2).max(base + 4));
        }
        Some(view.goal.clamp(desired))
    }
}
