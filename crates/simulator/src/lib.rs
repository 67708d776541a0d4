//! Simulated clusters: pods under a load, and autoscalers that set their number.
//!
//! [`cluster`] simulates pods under [`traffic`] in a [`scenario`], with Pushscale or another [`control`] setting the
//! replica count. Everything is computed in memory: no network, no processes, no async runtime.

pub mod cluster;
pub mod control;
pub mod scenario;
pub mod traffic;

mod input_errors;
mod parallel;
mod quantity;

pub use input_errors::{InputError, InputErrors};
pub use parallel::in_parallel;
