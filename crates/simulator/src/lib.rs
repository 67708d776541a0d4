//! Clusters to scale without a cluster, model servers to scale without Kubernetes, and traffic for them.
//!
//! [`cluster`] simulates pods under [`traffic`] in a [`scenario`], with Pushscale or another [`control`] over their
//! number. [`kit`] runs the real TorchServe as local processes, [`emulated`] answers as TorchServe
//! does from inside this process, [`load`] sends requests on time whatever the answers do.
//! [`replay`] decides again what was decided and written down.

pub mod cache;
pub mod cluster;
pub mod control;
pub mod emulated;
pub mod kit;
pub mod load;
pub mod open_files;
pub mod replay;
pub mod scenario;
pub mod traffic;

mod addresses;
mod lock;
mod metrics_mode;
mod mistakes;
mod parallel;
mod quantity;
mod reserved_port;
mod service_time;

pub use addresses::Addresses;
pub use metrics_mode::MetricsMode;
pub use mistakes::{Mistake, Mistakes};
pub use parallel::in_parallel;
pub use service_time::ServiceTime;
