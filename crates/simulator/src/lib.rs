//! Model servers to scale without a cluster, and traffic for them.
//!
//! [`kit`] runs the real TorchServe as local processes, [`emulated`] answers as TorchServe
//! does from inside this process, [`load`] sends requests on time whatever the answers do.
//! [`replay`] decides again what was decided and written down.

pub mod cache;
pub mod emulated;
pub mod kit;
pub mod load;
pub mod open_files;
pub mod replay;

mod addresses;
mod lock;
mod metrics_mode;
mod reserved_port;
mod service_time;

pub use addresses::Addresses;
pub use metrics_mode::MetricsMode;
pub use service_time::ServiceTime;
