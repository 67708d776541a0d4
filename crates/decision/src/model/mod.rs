//! `algorithm: Model`: the fewest replicas whose queues keep the target (docs/ALGORITHM.md).
//!
//! Arrivals and service times do not depend on the number of replicas; waits do, and near full load steeply. So
//! the rate and the service time are measured, the formula of the queue says how busy a pod may be, and the latency is
//! target and check, not input.

mod arrivals;
mod backlog;
mod calibration;
mod capacity;
mod census;
mod hindsight;
mod inputs;
mod ledger;
mod plan;
mod planner;
mod queueing;
mod rails;
mod recurrence;
mod service;

mod start_delay;
mod state;
mod trace;

pub(crate) use census::Census;
pub(crate) use plan::{Incomplete, NoPlan, Plan, PlanReason, Situation};
pub(crate) use start_delay::StartDelay;
pub(crate) use state::ModelState;
pub(crate) use trace::Trace;
