//! Faults of the cluster while two aggregators scale a target, and what they cost.
//!
//! Two aggregators take part in a leader election, each behind a proxy to a real API server. Pods push to both. During
//! each fault the load rises: recovery is the time from the end of the fault until the replicas follow.
//!
//! A run has no seed, because nothing in it is random: the faults, their order and their times, the load and what the
//! attackers send are fixed. Runs differ by what no seed reaches: how the system schedules the programs, the names and
//! ports that Kubernetes and the system choose, and the jitter of the retries of the programs.

mod attack;
mod bystanders;
mod fault;
mod harness;
mod objects;
mod port;
mod proxy;
mod pushes;
mod replicas;
mod report;

pub use fault::{Fault, faults, short_faults};
pub use harness::Harness;
pub use report::{Outcome, table};
