//! The addresses of a model server.

use std::net::SocketAddr;

/// The three HTTP ports of one TorchServe, real or emulated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Addresses {
    /// `POST /predictions/{model}` and `/ping`.
    pub inference: SocketAddr,
    /// `/models`: workers and queue depth.
    pub management: SocketAddr,
    /// `/metrics`.
    pub metrics: SocketAddr,
}
