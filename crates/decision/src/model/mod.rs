//! `algorithm: Model`: the smallest number of replicas whose queues meet the target latency (docs/ALGORITHM.md).
//!
//! The arrival rate and the service time do not depend on the number of replicas; the queue latency does, steeply near
//! full load. The model therefore measures rate and service time, and computes the utilisation that keeps the target
//! from queueing theory. The measured latency is the target and the check, not the input.

mod arrivals;
mod backlog;
mod batches;
mod blocks;
mod calibration;
mod capacity;
mod counts;
mod envelope;
mod evidence;
mod explain_inputs;
mod fleet_snapshot;
mod hold_backtest;
mod inputs;
mod observe;
mod plan;
mod planner;
mod pod_balance;
mod profile;
mod queueing;
mod replacement;
mod rules;
mod safeguards;
mod second_buckets;
mod service;
mod slow_pods;

mod pod_history;
mod start_delay;
mod state;
mod vanished;
mod wait_percentile;
mod warm_up;

pub(crate) use fleet_snapshot::FleetSnapshot;
pub(crate) use plan::{NoPlan, Plan, PlanReason, Situation};
pub(crate) use pod_balance::{OverloadedPod, ReplacementPhase, SlowPod, UnevenLoad};
pub(crate) use pod_history::PodHistory;
pub use rules::Rule;
pub(crate) use start_delay::StartDelay;
pub(crate) use state::ModelState;
