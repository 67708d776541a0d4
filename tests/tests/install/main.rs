//! docs/INSTALL.md and docs/MIGRATING.md, done as they say on a real node: every command of both, a load through real
//! injected pods, replicas that follow it, no request lost, and nothing left.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking, and tells what it measured"
)]

mod fixture;
mod installing;
mod migrating;
