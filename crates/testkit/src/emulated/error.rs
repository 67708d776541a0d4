//! Errors of an emulated server.

use std::io;
use std::net::SocketAddr;

/// Why [`EmulatedServer::start`](super::EmulatedServer::start) failed.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each variant's message describes it")]
pub enum EmulatedError {
    #[error("failed to bind {address} for an emulated server (port 0 binds any free port)")]
    Port {
        address: SocketAddr,
        source: io::Error,
    },
    #[error("the emulated server has no models: give at least one")]
    NoModel,
    #[error("invalid model {name:?} version {version:?}: {problem}")]
    Model {
        name: String,
        version: String,
        problem: &'static str,
    },
}
