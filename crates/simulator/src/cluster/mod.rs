//! A simulated cluster: pods with workers and a queue behind a load balancer, under a load, and a controller that sets
//! the number of pods once per second.
//!
//! The pods are TorchServe pods as the control algorithm sees them: a first-in first-out queue of limited length,
//! `workers` workers, and 503 when the queue is full. Arrivals are counted at arrival, waits and sojourns (which
//! contain the waits) at completion. A new pod has a start delay, and a removed pod completes its requests. Requests
//! are simulated exactly, not in time steps.
//!
//! ```
//! use pushscale_simulator::cluster::{ClusterSpec, simulate};
//! use pushscale_simulator::control::Fixed;
//! use pushscale_simulator::traffic::Traffic;
//!
//! let cluster = ClusterSpec { traffic: Traffic::Rates(vec![100.0; 60]), pods: 5, ..ClusterSpec::default() };
//! let outcome = simulate(&cluster, &mut Fixed::new(5), 1);
//! assert_eq!(outcome.violation_seconds, 0);
//! ```
//!
//! The simulation does not include the network or nodes. The start delay covers
//! everything between a pod's creation and its first request.

mod arrivals;
mod balancing;
mod batching;
mod clients;
mod cost;
mod crash_loop;
mod deletion;
mod fault;
mod fleet;
mod goal;
mod job;
mod metrics;
mod need;
mod outcome;
mod pod;
mod random;
mod retries;
mod rollout;
mod router;
mod run;
mod service_times;
mod spec;
mod view;
mod warm_up;
mod worker;

pub use arrivals::{Burst, Outage};
pub use balancing::Balancing;
pub use batching::Batching;
pub use clients::{Clients, GrpcShare};
pub use deletion::Deletion;
pub use fault::{Fault, PodCount};
pub use goal::Goal;
pub use outcome::{Change, Outcome, Second};
pub use rollout::Rollout;
pub use run::{simulate, simulate_watched};
pub use service_times::{LongRequests, Pareto};
pub use spec::{ClusterSpec, Gap, Slow};
pub use view::{PodReading, PodState, PodView, ServerHealth, View};
pub use warm_up::WarmUp;

pub use random::Random;
