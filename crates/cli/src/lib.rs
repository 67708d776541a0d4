//! The commands of `pushscale`, one module each, and what other crates use of them.

pub mod adopt;
mod chart;
mod cluster;
pub mod completions;
pub mod demo;
pub mod doctor;
mod error;
pub mod explain;
#[doc(hidden)]
pub mod fuzzing;
pub mod inject;
mod input;
pub mod manifest;
mod output;
pub mod replay;
pub mod simulate;
pub mod status;
pub mod trace;
mod yaml;

pub use cluster::{ClusterError, ClusterOptions};
pub use error::CommandError;
