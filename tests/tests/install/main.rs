//! Follows docs/INSTALL.md and docs/MIGRATING.md on a real node: every command of both, a load on real injected pods,
//! replicas that follow it, no lost requests, and nothing left behind.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking, and prints what it measured"
)]

mod fixture;
mod installing;
mod migrating;
