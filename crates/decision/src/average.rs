//! The average over the pods, with values assumed for the others (the HPA's `replica_calculator.go`).

use crate::fleet::FleetPod;
use crate::latency::Latency;
use crate::moment::Moment;
use crate::pod::Phase;
use crate::policy::{Aggregate, Metric, Percentile};

/// The pods grouped for one metric; the first match wins: ignored, pending, not reporting, reporting.
#[derive(Clone, Debug, Default)]
pub(crate) struct Groups {
    pub(crate) latencies: Vec<Latency>,
    pub(crate) not_reporting: u32,
    pub(crate) pending: u32,
    pub(crate) ignored: u32,
}

impl Groups {
    /// Replaces the groups with those of `pods`, reusing the buffers.
    pub(crate) fn sort<'a>(
        &mut self,
        pods: impl Iterator<Item = &'a FleetPod>,
        now: Moment,
        metric: &Metric,
    ) {
        self.latencies.clear();
        (self.not_reporting, self.pending, self.ignored) = (0, 0, 0);
        for pod in pods {
            if pod.ignored() {
                self.ignored += 1;
            } else if pod.pod.phase == Phase::Pending {
                self.pending += 1;
            } else if let Some(latency) = pod.latency(now, metric.model.as_deref()) {
                self.latencies.push(latency);
            } else {
                self.not_reporting += 1;
            }
        }
    }

    pub(crate) fn reporting(&self) -> u32 {
        count(self.latencies.len())
    }

    pub(crate) fn listed(&self) -> u32 {
        self.reporting() + self.not_reporting + self.pending + self.ignored
    }

    /// Returns the average over the pods that report, or `None` if none does.
    pub(crate) fn average(&self, metric: &Metric) -> Option<Average> {
        Average::over(self.latencies.iter().copied(), self.reporting(), metric)
    }

    /// Returns the average with `assumed` for pods not reporting and, with `pending`, zero for pending pods.
    pub(crate) fn with_assumed(
        &self,
        assumed: Option<Latency>,
        pending: bool,
        metric: &Metric,
    ) -> Option<Average> {
        let not_reporting_count = if assumed.is_some() {
            self.not_reporting
        } else {
            0
        };
        let pending_count = if pending { self.pending } else { 0 };
        let filled = self
            .latencies
            .iter()
            .copied()
            .chain(repeat(
                assumed.unwrap_or(Latency::ZERO),
                not_reporting_count,
            ))
            .chain(repeat(Latency::ZERO, pending_count));
        Average::over(
            filled,
            self.reporting() + not_reporting_count + pending_count,
            metric,
        )
    }
}

fn repeat(latency: Latency, times: u32) -> impl Iterator<Item = Latency> {
    (0..times).map(move |_| latency)
}

fn count(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}

/// The aggregate of a metric over some pods, and its ratio to the target.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Average {
    pub(crate) mean: Latency,
    pub(crate) pods: u32,
    pub(crate) ratio: f64,
}

impl Average {
    fn over(latencies: impl Iterator<Item = Latency>, pods: u32, metric: &Metric) -> Option<Self> {
        if pods == 0 {
            return None;
        }
        let mean = match metric.aggregate {
            Aggregate::Mean => mean(latencies, pods),
            Aggregate::Max => latencies.max().unwrap_or(Latency::ZERO),
            Aggregate::Percentile(percentile) => nearest_rank(latencies, percentile),
        };
        // The HPA divides these as doubles, and so the results agree to the last bit.
        let ratio = mean.as_nanos() as f64 / metric.target.latency().as_nanos() as f64;
        Some(Self { mean, pods, ratio })
    }
}

/// Returns the mean. The HPA's sum wraps at 64 bits; this one does not.
fn mean(latencies: impl Iterator<Item = Latency>, pods: u32) -> Latency {
    let sum: i128 = latencies
        .map(|latency| i128::from(latency.as_nanos()))
        .sum();
    Latency::from_nanos(i64::try_from(sum / i128::from(pods)).unwrap_or(i64::MAX))
}

/// Returns a percentile by nearest rank.
fn nearest_rank(latencies: impl Iterator<Item = Latency>, percentile: Percentile) -> Latency {
    let mut sorted: Vec<Latency> = latencies.collect();
    sorted.sort_unstable();
    let rank = (sorted.len() * usize::from(percentile.percent())).div_ceil(100);
    let found = rank.checked_sub(1).and_then(|index| sorted.get(index));
    found.copied().unwrap_or(Latency::ZERO)
}
