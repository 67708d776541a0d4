//! Why an emulated server does not start.

use std::io;
use std::net::SocketAddr;

/// Every way in which [`EmulatedServer::start`](super::EmulatedServer::start) can fail.
#[derive(Debug, thiserror::Error)]
pub enum EmulatedError {
    /// A port is in use, or the process has no free sockets.
    #[error("failed to bind {address} for an emulated server (port 0 binds any free port)")]
    Port {
        /// The requested address.
        address: SocketAddr,
        /// The kernel's reason.
        source: io::Error,
    },
    /// No model at all.
    #[error("start an emulated server without models: give at least one")]
    NoModel,
    /// A model's numbers make no sense.
    #[error("emulate model {name:?} version {version:?}: {problem}")]
    Model {
        /// The model's name.
        name: String,
        /// Its version.
        version: String,
        /// What is wrong and what would be right.
        problem: &'static str,
    },
}
