//! A TorchServe that is not there: real sockets, TorchServe's words and its ways of counting.
//!
//! Queue, workers and answers run as tasks on the current tokio runtime, so hundreds of servers
//! fit into one process. What a model does is sleep. What is imitated was measured on
//! TorchServe 0.12.0: which counter moves at which moment, the text of `/metrics`, the
//! management API, the words of the errors, and that a connection is never closed after a
//! good answer, whatever the client asks for.
//!
//! Not imitated: gRPC on the wire, TLS, model registration and scaling, chunked request
//! bodies, `responseTimeout`, sequence and continuous batching.

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
