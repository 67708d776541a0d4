//! Model servers without Kubernetes, and load for them, for tests, benchmarks and the demo.
//!
//! [`local_torchserve`] runs the real TorchServe as local processes. [`emulated`] serves TorchServe's endpoints in this
//! process, without Java. [`load`] sends requests on schedule, even if the servers are slow.

pub mod cache;
pub mod emulated;
pub mod load;
pub mod local_torchserve;
pub mod open_files;

mod addresses;
mod metrics_mode;
mod reserved_port;

pub use addresses::Addresses;
pub use metrics_mode::MetricsMode;
