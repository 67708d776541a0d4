//! The average over the pods, and what silent and pending pods count for (hpa-spec 2.4).

use crate::fleet::View;
use crate::latency::Latency;
use crate::moment::Moment;
use crate::pod::Phase;
use crate::policy::{Metric, Target};

/// The pods sorted for one metric, first match wins: ignored, pending, silent, reporting.
#[derive(Debug, Default)]
pub(crate) struct Groups {
    pub(crate) samples: Vec<Latency>,
    pub(crate) silent: u32,
    pub(crate) pending: u32,
    pub(crate) ignored: u32,
}

impl Groups {
    pub(crate) fn sort<'a>(
        pods: impl Iterator<Item = View<'a>>,
        now: Moment,
        metric: &Metric,
    ) -> Self {
        let mut groups = Self::default();
        for view in pods {
            if view.ignored() {
                groups.ignored += 1;
            } else if view.pod.phase == Phase::Pending {
                groups.pending += 1;
            } else if let Some(latency) = view.latency(now, metric.model.as_deref()) {
                groups.samples.push(latency);
            } else {
                groups.silent += 1;
            }
        }
        groups
    }

    pub(crate) fn reporting(&self) -> u32 {
        count(self.samples.len())
    }

    pub(crate) fn listed(&self) -> u32 {
        self.reporting() + self.silent + self.pending + self.ignored
    }

    /// The average over the pods that report; `None` if none does.
    pub(crate) fn average(&self, target: Target) -> Option<Average> {
        Average::over(self.samples.iter().copied(), self.reporting(), target)
    }

    /// The average with `silent` pods counted as that latency and `pending` ones as zero.
    pub(crate) fn refilled(
        &self,
        silent: Option<Latency>,
        pending: bool,
        target: Target,
    ) -> Option<Average> {
        let silent_count = if silent.is_some() { self.silent } else { 0 };
        let pending_count = if pending { self.pending } else { 0 };
        let filled = self
            .samples
            .iter()
            .copied()
            .chain(repeat(silent.unwrap_or(Latency::ZERO), silent_count))
            .chain(repeat(Latency::ZERO, pending_count));
        Average::over(
            filled,
            self.reporting() + silent_count + pending_count,
            target,
        )
    }
}

fn repeat(latency: Latency, times: u32) -> impl Iterator<Item = Latency> {
    (0..times).map(move |_| latency)
}

fn count(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}

/// A mean and how it stands to the target.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Average {
    pub(crate) mean: Latency,
    pub(crate) pods: u32,
    pub(crate) ratio: f64,
}

impl Average {
    fn over(samples: impl Iterator<Item = Latency>, pods: u32, target: Target) -> Option<Self> {
        if pods == 0 {
            return None;
        }
        // The HPA sums in 64 bits and wraps; a sum beyond them here stays a large sum.
        let sum: i128 = samples.map(|sample| i128::from(sample.as_nanos())).sum();
        let mean = i64::try_from(sum / i128::from(pods)).unwrap_or(i64::MAX);
        #[expect(
            clippy::cast_precision_loss,
            reason = "the HPA divides these as doubles, and so the results agree to the last bit"
        )]
        let ratio = mean as f64 / target.latency().as_nanos() as f64;
        Some(Self {
            mean: Latency::from_nanos(mean),
            pods,
            ratio,
        })
    }
}
