//! The PushScaler resource, and the names that appear in Kubernetes objects.

#[expect(
    unreachable_pub,
    reason = "KubeSchema writes a private copy of each type"
)]
mod behavior;
#[expect(
    clippy::duplicated_attributes,
    reason = "each printer column has its type"
)]
mod checkpoint;
pub mod conditions;
mod duration;
#[expect(
    unreachable_pub,
    reason = "KubeSchema writes a private copy of each type"
)]
mod metric;
pub mod names;
mod policy;
mod problem;
pub mod push;
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
pub mod selector;
mod status;
mod tolerance;

pub use behavior::{Behavior, PolicyType, ScalingPolicy, ScalingRules, SelectPolicy};
pub use checkpoint::{
    ArrivalSeries, CheckpointError, LearnedModel, LearnedSaving, LearnedStartDelay,
    PushScalerCheckpoint, PushScalerCheckpointSpec,
};
pub use metric::{Aggregate, MetricSpec, MetricType, QueueLatencySource};
pub use policy::policy_of;
pub use problem::SpecProblem;
pub use pushscaler::{
    Algorithm, Fallback, LoadBalancing, Mode, OnDelete, Pause, PushScaler, PushScalerSpec,
    ScaleTargetRef,
};
pub use schedule::{Floor, Schedule, Schedules};
pub use status::{
    MAX_HISTORY, MetricStatus, PodCounts, PushScalerStatus, QueueLatencyStatus, ScaleChange,
};
pub use tolerance::Tolerance;
