//! The rig, and the tests that cross crates.
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests, which fail by panicking"
)]

pub mod http;
pub mod sidecar;
pub mod small_world;
