//! What the user asked for, in values that cannot be wrong.

use std::sync::Arc;
use std::time::Duration;

use crate::behavior::Behavior;
use crate::latency::Latency;

/// Everything that steers one scaler's decisions.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// The smallest and the largest size.
    pub bounds: Bounds,
    /// What is compared with what. The metric that asks for most replicas wins. Never empty in practice;
    /// an empty list decides nothing and says so.
    pub metrics: Vec<Metric>,
    /// How a metric becomes a number of replicas.
    pub algorithm: Algorithm,
    /// How requests find a pod. The queue model needs to know.
    pub balancing: Balancing,
    /// `spec.behavior`; `None` is the HPA's older path and not the same as an empty behavior.
    pub behavior: Option<Behavior>,
    /// What the HPA takes from its controller's flags.
    pub hpa_flags: HpaFlags,
    /// The HPA to the letter, or with our guards.
    pub hpa_compatibility: HpaCompatibility,
    /// What becomes of a decision.
    pub mode: Mode,
    /// The direction in which nothing is to happen for now.
    pub paused: Option<Direction>,
    /// What to do when nothing has been known for a while.
    pub fallback: Option<Fallback>,
}

impl Policy {
    /// One metric over all models, `algorithm: Ratio` with the HPA's defaults, our guards on.
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
        }
    }
}

/// How a metric becomes a number of replicas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// The HorizontalPodAutoscaler's rule: replicas times average over target.
    Ratio,
    /// The queue model: from arrivals and service times, the fewest replicas whose queues keep the target.
    Model,
}

/// How requests find a pod.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Balancing {
    /// Without regard to queues: kube-proxy, random, round robin. Each pod's queue is one of its own.
    #[default]
    Random,
    /// To the pod with the fewest requests: nearly one queue before all workers.
    LeastRequest,
}

/// What becomes of a decision.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// It is written.
    #[default]
    Apply,
    /// It is told and not written.
    Recommend,
    /// There is none.
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

/// What to do when nothing has been known for a while: at least so many replicas. It never lowers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fallback {
    /// For how long no metric could be computed.
    pub after: Duration,
    /// At least so many, within the bounds.
    pub replicas: u32,
}

/// `1 ≤ min ≤ max`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    min: u32,
    max: u32,
}

impl Bounds {
    /// `None` unless `1 ≤ min ≤ max ≤ 2^31 − 1` (Kubernetes counts replicas in an int32).
    pub fn new(min: u32, max: u32) -> Option<Self> {
        (1 <= min && min <= max && i32::try_from(max).is_ok()).then_some(Self { min, max })
    }

    /// The smallest size.
    pub fn min(self) -> u32 {
        self.min
    }

    /// The largest size.
    pub fn max(self) -> u32 {
        self.max
    }

    /// With a higher smallest size, but no higher than the largest.
    pub(crate) fn raised_to(self, floor: u32) -> Self {
        Self {
            min: self.min.max(floor.min(self.max)),
            max: self.max,
        }
    }

    pub(crate) fn clamp(self, size: u32) -> u32 {
        size.clamp(self.min, self.max)
    }
}

/// One queue latency and the target that it is held against.
#[derive(Clone, Debug, PartialEq)]
pub struct Metric {
    /// The model whose queue counts; `None`: in each pod, the model that waits longest.
    pub model: Option<Arc<str>>,
    /// What it should be.
    pub target: TargetLatency,
    /// Of which waits.
    pub aggregate: Aggregate,
    /// How long a worker takes for a request, until that has been measured. For the queue model.
    pub service_time: Option<Duration>,
    /// Workers in each pod, where the pods cannot tell. For the queue model.
    pub workers: Option<u32>,
}

impl Metric {
    /// The mean over all models.
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

/// Which wait is held against the target. `Ratio` takes it over the pods, the queue model over the requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Aggregate {
    /// The mean.
    #[default]
    Mean,
    /// The largest. Only `Ratio` has one.
    Max,
    /// The one that 5 of 100 exceed.
    P95,
}

/// A queue latency to aim at; never zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TargetLatency(Latency);

impl TargetLatency {
    /// `None` unless it is positive.
    pub fn new(latency: Latency) -> Option<Self> {
        (latency > Latency::ZERO).then_some(Self(latency))
    }

    /// The latency itself.
    pub fn latency(self) -> Latency {
        self.0
    }
}

/// The HPA controller's flags, with its defaults.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HpaFlags {
    /// A ratio of average to target this near to 1, in either direction, changes nothing.
    /// `--horizontal-pod-autoscaler-tolerance`, 0.1.
    pub tolerance: f64,
    /// How long the highest proposal outlives the load that asked for it.
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

/// Whether the Ratio rule may differ from the HPA where the HPA is known to be wrong or assumes a 15 s loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HpaCompatibility {
    /// The HorizontalPodAutoscaler of Kubernetes v1.37.2 to the letter. For conformance and comparison.
    Exact,
    /// The same rule with three guards:
    ///
    /// - never down while fewer than 80 % of the running pods report ([`QUORUM`]);
    /// - a ratio below 1 never raises the size (the HPA does during a surge rollout);
    /// - without `behavior`, "at most double, or 4" counts from the smallest size of the last 15 s and not
    ///   from this instant, since a decision is made whenever a reading lands and not every 15 s.
    Guarded,
}

/// The share of running pods whose readings must be fresh before the size may fall (docs/ALGORITHM.md, I1).
pub const QUORUM: f64 = 0.8;

/// The period over which [`HpaCompatibility::Guarded`] applies the HPA's limit per sync, which is this long.
pub const SYNC_PERIOD: Duration = Duration::from_secs(15);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_that_cross_or_reach_zero_cannot_be_built() {
        assert!(Bounds::new(0, 5).is_none());
        assert!(Bounds::new(3, 2).is_none());
        assert!(Bounds::new(1, u32::MAX).is_none());
        assert_eq!(Bounds::new(2, 2).map(|b| (b.min(), b.max())), Some((2, 2)));
    }

    #[test]
    fn a_target_of_zero_cannot_be_built() {
        assert!(TargetLatency::new(Latency::ZERO).is_none());
        assert!(TargetLatency::new(Latency::from_nanos(-1)).is_none());
    }
}
