//! Readings and time in, explained decision out.
//!
//! This crate is pure: no clock, no IO, no async, no dependency. It is told facts ([`Scaler::apply_pod`],
//! [`Scaler::learn`], [`Scaler::wrote`]), it is asked one question ([`Scaler::decide`]), and the answer
//! carries its reasons. The aggregator and the tests drive the very same code.
//!
//! The rule is the HorizontalPodAutoscaler's for a per-pod metric (`algorithm: Ratio`), with our guards
//! where the HPA is known to be wrong: see [`Manner`]. The queue model (`algorithm: Model`) will stand beside
//! it, behind the same [`Scaler`].

mod average;
mod behavior;
mod conditions;
mod decision;
mod fleet;
mod freshness;
mod latency;
mod limits;
mod moment;
mod pass;
mod pod;
mod policy;
mod reading;
mod recommend;
mod scaler;
mod stabilize;
mod step;
mod target;

pub use behavior::{Amount, Behavior, RatePolicy, Rules, Select};
pub use conditions::{Condition, Conditions, Reason};
pub use decision::{Decision, Figure, Hold, Outcome, Warning};
pub use freshness::Freshness;
pub use latency::Latency;
pub use limits::Cap;
pub use moment::Moment;
pub use pod::{Phase, Pod, PodUid};
pub use policy::{Bounds, Flags, Manner, Metric, Policy, QUORUM, SYNC_PERIOD, Target};
pub use reading::{ModelReading, Reading, Refusal, ServerState};
pub use scaler::Scaler;
pub use step::Step;
pub use target::{Selector, TargetFacts};
