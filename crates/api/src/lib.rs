//! The PushScaler resource, and every name that Kubernetes sees.

#[expect(
    unreachable_pub,
    reason = "KubeSchema writes a private copy of each type"
)]
mod behavior;
#[expect(
    unreachable_pub,
    reason = "KubeSchema writes a private copy of each type"
)]
mod metric;
pub mod names;
mod policy;
#[expect(
    unreachable_pub,
    clippy::duplicated_attributes,
    reason = "KubeSchema writes a private copy of each type; each printer column has its type"
)]
mod pushscaler;
pub mod recording;
#[expect(
    unreachable_pub,
    reason = "KubeSchema writes a private copy of each type"
)]
mod schedule;
mod status;
mod tolerance;

pub use behavior::{Behavior, PolicyType, ScalingPolicy, ScalingRules, SelectPolicy};
pub use metric::{Aggregate, MetricSpec, MetricType, QueueLatencySource};
pub use policy::{SpecProblem, policy_of};
pub use pushscaler::{
    Algorithm, Fallback, LoadBalancing, Mode, Pause, PushScaler, PushScalerSpec, ScaleTargetRef,
};
pub use schedule::{Floor, Schedule, Schedules};
pub use status::{MetricStatus, PodCounts, PushScalerStatus, QueueLatencyStatus};
pub use tolerance::Tolerance;
