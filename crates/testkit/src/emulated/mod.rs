//! An emulated TorchServe: real sockets, and TorchServe's messages and counters.
//!
//! Queues, workers and responses are tasks on the current tokio runtime, so one process can run hundreds of servers. A
//! model only sleeps. The emulation follows measurements of TorchServe 0.12.0: which counter changes at which time, the
//! text of `/metrics`, the management API, the error messages, and that the server does not close a connection after a
//! successful response, even if the client asks for it.
//!
//! The emulation does not include gRPC on the wire, TLS, model registration and scaling, chunked request bodies,
//! `responseTimeout`, sequence batching or continuous batching.

mod connection;
mod counters;
mod error;
mod exposition;
mod http;
mod inference;
mod job;
mod management;
mod model;
mod options;
mod process;
mod queue;
mod server;
mod switches;
mod worker;

pub use error::EmulatedError;
pub use options::{ModelOptions, ServerOptions};
pub use server::EmulatedServer;
