//! Computes explained scaling decisions from readings and time.
//!
//! The crate is pure: no clock, no I/O, no async, no dependencies. Callers report events ([`Scaler::apply_pod`],
//! [`Scaler::learn`], [`Scaler::record_scale`]) and ask for a [`Decision`] ([`Scaler::decide`]). The aggregator, the
//! simulator, replay and the tests run the same code.
//!
//! A [`Scaler`] implements two algorithms. `algorithm: Ratio` is the HorizontalPodAutoscaler's rule for a per-pod
//! metric, with safeguards where the HPA is known to be wrong ([`HpaCompatibility`]). `algorithm: Model` is the queue
//! model.

mod alternatives;
mod average;
mod behavior;
mod checkpoint;
mod conditions;
mod constrain;
mod decision;
mod explain;
mod fleet;
mod fleet_load;
mod freshness;
mod latency;
mod limits;
mod measured_load;
mod model;
mod moment;
mod numbers;
mod pass;
mod pod;
mod policy;
mod propose_model;
mod propose_ratio;
mod reading;
mod recommend;
mod scaler;
mod snapshot;
mod stabilize;
mod step;
mod target;
mod track_models;

pub use alternatives::Alternatives;
pub use behavior::{Amount, Behavior, ScalingPolicy, ScalingRules, SelectPolicy};
pub use checkpoint::{
    Checkpoint, Clock, ModelCheckpoint, ObservedStarts, PeriodSaving, RateSeries,
};
pub use conditions::{Condition, Conditions, Reason};
pub use decision::{Decision, Hold, MetricValue, Outcome, ScaleReason, Warning};
pub use fleet_load::FleetLoad;
pub use freshness::Freshness;
pub use latency::Latency;
pub use limits::Limit;
pub use measured_load::MeasuredLoad;
pub use model::Rule;
pub use moment::Moment;
pub use pod::{Phase, Pod, PodUid};
pub use policy::{
    Aggregate, Algorithm, Balancing, Bounds, Direction, Fallback, HpaCompatibility, HpaFlags,
    Metric, Mode, Percentile, Policy, QUORUM, SYNC_PERIOD, TargetLatency, ViolationPrice,
};
pub use reading::{Counters, ModelReading, Queue, Reading, Rejection, ServerState};
pub use scaler::Scaler;
pub use snapshot::Snapshot;
pub use step::{BacklogBound, Step};
pub use target::{Selector, TargetState};
