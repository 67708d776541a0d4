//! Sidecar to aggregator over real sockets on loopback, with emulated servers and sizes recorded instead of
//! written. Runs everywhere.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod admission;
mod bad_pushes;
mod bad_servers;
mod decided_again;
mod draining;
mod encrypted;
mod leaving;
mod loop_of_one;
mod replicas_of_the_aggregator;
mod support;
