//! A cluster, second by second: pods with workers and a queue each, behind a balancer, under a load, and a
//! controller that sets how many pods there are.
//!
//! The pods are TorchServe's as the control algorithm sees them: a first-in first-out queue of limited length before
//! `workers` workers, 503 beyond it, and its counters: arrivals at arrival, waits and sojourns (which contain the
//! waits) at the answer. A pod takes a while from its creation until it serves; a removed one answers what it has.
//! What happens to requests within a second is exact, not stepped.
//!
//! ```
//! use pushscale_simulator::cluster::{World, simulate};
//! use pushscale_simulator::control::Fixed;
//! use pushscale_simulator::traffic::Traffic;
//!
//! let world = World { traffic: Traffic::Rates(vec![100.0; 60]), pods: 5, ..World::default() };
//! let outcome = simulate(&world, &mut Fixed::new(5), 1);
//! assert_eq!(outcome.violation_seconds, 0);
//! ```
//!
//! Not in it: the network, retries, clients that give up, and nodes: a pod's start delay stands for all that lies
//! between its creation and its first request.

mod balancing;
mod fault;
mod fleet;
mod outcome;
mod pod;
mod random;
mod run;
mod tally;
mod view;
mod world;

pub use balancing::Balancing;
pub use fault::Fault;
pub use outcome::{Change, Outcome, Second};
pub use pod::PodState;
pub use run::{simulate, simulate_watched};
pub use view::{PodView, Told, View};
pub use world::{Gap, Goal, Slow, World};

pub(crate) use random::Random;
