//! Errors of an emulated server.

use std::io;
use std::net::SocketAddr;

/// Why [`EmulatedServer::start`](super::EmulatedServer::start) failed.
#[derive(Debug, thiserror::Error)]
pub enum EmulatedError {
    /// A port is in use, or the process has no free sockets.
    #[error("failed to bind {address} for an emulated server (port 0 binds any free port)")]
    Port {
        /// The requested address.
        address: SocketAddr,
        /// The error of the operating system.
        source: io::Error,
    },
    /// There are no models.
    #[error("the emulated server has no models: give at least one")]
    NoModel,
    /// A model's options are invalid.
    #[error("invalid model {name:?} version {version:?}: {problem}")]
    Model {
        /// The model's name.
        name: String,
        /// Its version.
        version: String,
        /// What is wrong, and what is expected.
        problem: &'static str,
    },
}
