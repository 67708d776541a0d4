//! `algorithm: Model`: the fewest replicas whose queues keep the target (docs/ALGORITHM.md).
//!
//! Arrivals and service times do not depend on the number of replicas; waits do, and near full load steeply. So
//! the rate and the service time are measured, the formula of the queue says how busy a pod may be, and the latency is
//! target and check, not input.

mod arrivals;
mod backlog;
mod calibration;
mod capacity;
mod fleet_snapshot;
mod hold_backtest;
mod inputs;
mod plan;
mod planner;
mod queueing;
mod recurrence;
mod safeguards;
mod second_buckets;
mod service;

mod pod_history;
mod start_delay;
mod state;

pub(crate) use fleet_snapshot::FleetSnapshot;
pub(crate) use plan::{Incomplete, NoPlan, Plan, PlanReason, Situation};
pub(crate) use pod_history::PodHistory;
pub(crate) use start_delay::StartDelay;
pub(crate) use state::ModelState;
