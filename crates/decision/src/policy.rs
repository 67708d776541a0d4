//! The policy: the user's settings as validated values.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::behavior::{Behavior, SelectPolicy};
use crate::latency::Latency;

/// The settings of one scaler.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// The minimum and maximum replicas.
    pub bounds: Bounds,
    /// The metrics; the largest proposal wins. In practice never empty; without metrics, decisions hold with that
    /// reason.
    pub metrics: Vec<Metric>,
    /// The rule that computes replicas from a metric.
    pub algorithm: Algorithm,
    /// The load balancing, which the queueing model depends on.
    pub balancing: Balancing,
    /// `spec.behavior`; `None` follows the HPA's older path, unlike an empty behavior.
    pub behavior: Option<Behavior>,
    /// The settings that the HPA takes from its controller's flags.
    pub hpa_flags: HpaFlags,
    /// Exactly like the HPA, or with safeguards.
    pub hpa_compatibility: HpaCompatibility,
    /// What happens to a decision.
    pub mode: Mode,
    /// The direction in which scaling is paused.
    pub paused: Option<Direction>,
    /// The fallback.
    pub fallback: Option<Fallback>,
    /// The price of a second in which requests wait too long; used by the queueing model.
    pub violation_price: ViolationPrice,
}

impl Policy {
    /// Creates a policy with one metric over all models: `algorithm: Ratio` with the HPA's defaults and safeguards.
    pub fn new(bounds: Bounds, target: TargetLatency) -> Self {
        Self {
            bounds,
            metrics: vec![Metric::for_all_models(target)],
            algorithm: Algorithm::Ratio,
            balancing: Balancing::default(),
            behavior: None,
            hpa_flags: HpaFlags::default(),
            hpa_compatibility: HpaCompatibility::Guarded,
            mode: Mode::default(),
            paused: None,
            fallback: None,
            violation_price: ViolationPrice::default(),
        }
    }

    /// Returns whether replicas are written, both more and fewer of them.
    pub(crate) fn writes_both_directions(&self) -> bool {
        let behavior = self.behavior.iter();
        let mut rules = behavior.flat_map(|behavior| [&behavior.scale_up, &behavior.scale_down]);
        self.mode == Mode::Apply
            && self.paused.is_none()
            && rules.all(|rules| rules.select_policy != SelectPolicy::Disabled)
    }
}

/// The price of a second in which requests wait longer than four times the target latency, in pod-seconds for a fleet
/// of one pod. A higher price keeps more pods.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ViolationPrice(f64);

impl ViolationPrice {
    /// The highest price, in pod-seconds.
    pub const MAX: u32 = 100_000;

    /// Creates a price in pod-seconds; `None` unless it is between 1 and [`Self::MAX`].
    pub fn new(pod_seconds: u32) -> Option<Self> {
        (1..=Self::MAX)
            .contains(&pod_seconds)
            .then(|| Self(pod_seconds.into()))
    }

    /// Returns the price for a fleet of `pods` pods: it grows with the fourth root of the pods. A price proportional to
    /// the pods cost 1.9% more pod-hours and 2.8% more violation seconds over 350 random loads.
    pub(crate) fn for_fleet(self, pods: f64) -> f64 {
        self.0 * pods.sqrt().sqrt()
    }
}

impl Default for ViolationPrice {
    /// 366 pod-seconds: six pod-minutes.
    fn default() -> Self {
        Self(366.0)
    }
}

/// The rule that computes replicas from a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// The HorizontalPodAutoscaler's rule: replicas multiplied by average / target.
    Ratio,
    /// The queueing model: the smallest number of replicas that meets the target, from arrivals and service times.
    Model,
}

/// How requests are distributed to pods.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Balancing {
    /// Independent of queues: kube-proxy, random, round robin. Each pod has its own queue.
    #[default]
    Random,
    /// To the pod with the fewest requests, which is nearly one queue for all workers.
    LeastRequest,
}

/// What happens to a decision.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Decisions are written.
    #[default]
    Apply,
    /// Decisions are reported and not written.
    Recommend,
    /// No decisions are made.
    Off,
}

/// A direction of change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// More replicas.
    Up,
    /// Fewer replicas.
    Down,
}

/// A minimum that applies once no metric could be computed for a while. It never scales down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fallback {
    /// The time without a metric after which it applies.
    pub after: Duration,
    /// The minimum, within the bounds.
    pub replicas: u32,
}

/// Minimum and maximum replicas: `1 ≤ min ≤ max`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    min: u32,
    max: u32,
}

impl Bounds {
    /// Creates bounds; `None` unless `1 ≤ min ≤ max ≤ 2^31 − 1` (Kubernetes counts replicas in an int32).
    pub fn new(min: u32, max: u32) -> Option<Self> {
        (1 <= min && min <= max && i32::try_from(max).is_ok()).then_some(Self { min, max })
    }

    /// Returns the minimum.
    pub fn min(self) -> u32 {
        self.min
    }

    /// Returns the maximum.
    pub fn max(self) -> u32 {
        self.max
    }

    /// Returns the bounds with the minimum raised to `floor`, but not beyond the maximum.
    pub(crate) fn raised_to(self, floor: u32) -> Self {
        Self {
            min: self.min.max(floor.min(self.max)),
            max: self.max,
        }
    }

    pub(crate) fn clamp(self, replicas: u32) -> u32 {
        replicas.clamp(self.min, self.max)
    }
}

/// A queue latency metric with its target.
#[derive(Clone, Debug, PartialEq)]
pub struct Metric {
    /// The model. With `None`, the ratio rule takes the model with the largest queue latency of each pod, and the
    /// queueing model plans all models.
    pub model: Option<Arc<str>>,
    /// The target latency.
    pub target: TargetLatency,
    /// How latencies are combined.
    pub aggregate: Aggregate,
    /// The service time until one has been measured; used by the queueing model.
    pub service_time: Option<Duration>,
    /// The workers per pod if the pods do not report them; used by the queueing model.
    pub workers: Option<u32>,
}

impl Metric {
    /// Creates a metric for the mean over all models.
    pub fn for_all_models(target: TargetLatency) -> Self {
        Self {
            model: None,
            target,
            aggregate: Aggregate::default(),
            service_time: None,
            workers: None,
        }
    }
}

/// The statistic that is compared with the target: over pods with `Ratio`, over requests with the queueing model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Aggregate {
    /// The mean.
    #[default]
    Mean,
    /// The maximum, with `Ratio` only.
    Max,
    /// A percentile.
    Percentile(Percentile),
}

impl fmt::Display for Aggregate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mean => f.write_str("mean"),
            Self::Max => f.write_str("maximum"),
            Self::Percentile(percentile) => percentile.fmt(f),
        }
    }
}

/// A percentile from 50 to 99.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Percentile(u8);

impl Percentile {
    /// The 95th percentile.
    pub const P95: Self = Self(95);

    /// Creates a percentile; `None` unless it is from 50 to 99.
    pub fn new(percent: i32) -> Option<Self> {
        let percent = u8::try_from(percent).ok()?;
        (50..=99).contains(&percent).then_some(Self(percent))
    }

    /// Returns the percentile, from 50 to 99.
    pub(crate) fn percent(self) -> u8 {
        self.0
    }

    /// Returns the share of the waits that are above it.
    pub(crate) fn share_above(self) -> f32 {
        f32::from(100 - self.0) / 100.0
    }
}

impl fmt::Display for Percentile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let suffix = match self.0 % 10 {
            1 => "st",
            2 => "nd",
            3 => "rd",
            _ => "th",
        };
        write!(f, "{}{suffix} percentile", self.0)
    }
}

/// A target latency, never zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TargetLatency(Latency);

impl TargetLatency {
    /// Creates a target; `None` unless it is positive.
    pub fn new(latency: Latency) -> Option<Self> {
        (latency > Latency::ZERO).then_some(Self(latency))
    }

    /// Returns the latency.
    pub fn latency(self) -> Latency {
        self.0
    }
}

/// The HPA controller's flags, with its defaults.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HpaFlags {
    /// The deviation from a ratio of 1 that is ignored, in both directions:
    /// `--horizontal-pod-autoscaler-tolerance`, 0.1.
    pub tolerance: f64,
    /// The stabilization window for scaling down:
    /// `--horizontal-pod-autoscaler-downscale-stabilization`, 300 s.
    pub downscale_stabilization: Duration,
}

impl Default for HpaFlags {
    fn default() -> Self {
        Self {
            tolerance: 0.1,
            downscale_stabilization: Duration::from_secs(300),
        }
    }
}

/// Whether the ratio rule differs from the HPA where the HPA is known to be wrong or assumes a loop of 15 s.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HpaCompatibility {
    /// Exactly like the HorizontalPodAutoscaler of Kubernetes v1.37.2, for conformance tests and comparisons.
    Exact,
    /// The same rule with six safeguards:
    ///
    /// - no scale-down while fewer than 80% of the running pods report ([`QUORUM`]);
    /// - a ratio below 1 never scales up (the HPA does during a surge rollout);
    /// - without `behavior`, the limit of "double, or 4" applies to the lowest replicas of the last 15 s instead of the
    ///   current ones, because decisions are made on every reading and not every 15 s;
    /// - pods of a rollout that never become ready do not hide an overload;
    /// - serving pods are kept while others start;
    /// - writes stop while another client contests the replicas.
    Guarded,
}

/// The share of running pods with fresh readings that a scale-down needs (docs/ALGORITHM-DETAILS.md, I1).
pub const QUORUM: f64 = 0.8;

/// The period over which [`HpaCompatibility::Guarded`] applies the HPA's limit per sync, which is this long.
pub const SYNC_PERIOD: Duration = Duration::from_secs(15);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_that_cross_or_contain_zero_are_rejected() {
        assert!(Bounds::new(0, 5).is_none());
        assert!(Bounds::new(3, 2).is_none());
        assert!(Bounds::new(1, u32::MAX).is_none());
        assert_eq!(Bounds::new(2, 2).map(|b| (b.min(), b.max())), Some((2, 2)));
    }

    #[test]
    fn a_target_of_zero_is_rejected() {
        assert!(TargetLatency::new(Latency::ZERO).is_none());
        assert!(TargetLatency::new(Latency::from_nanos(-1)).is_none());
    }
}
