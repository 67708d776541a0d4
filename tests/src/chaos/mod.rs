//! Faults of the cluster while two aggregators scale a target, and what they cost.
//!
//! Two aggregators take part in a leader election, each behind a proxy to a real API server. Pods push to both. During
//! each fault the load rises: recovery is the time from the end of the fault until the replicas follow.

mod attack;
mod fault;
mod harness;
mod objects;
mod proxy;
mod pushes;
mod replicas;
mod report;

pub use fault::{Fault, faults, short_faults};
pub use harness::Harness;
pub use report::{Outcome, table};
