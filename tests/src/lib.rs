//! The test cluster, helpers for tests, and the tests that involve several crates.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of tests fail by panicking; the modules that return errors warn again"
)]

pub mod all_objects;
pub mod authority;
pub mod chaos;
pub mod charts;
pub mod chromium;
pub mod clock;
#[warn(clippy::expect_used, clippy::panic, clippy::unwrap_used)]
pub mod conformance;
pub mod document;
pub mod fake_cluster;
pub mod fake_pod;
pub mod fleet;
pub mod http;
pub mod injector;
pub mod keda;
pub mod kserve;
pub mod load;
pub mod namespace;
pub mod objects;
pub mod port_forward;
mod process;
pub mod programs;
pub mod prometheus;
pub mod readings;
pub mod reference_model;
pub mod repeated_scale_down;
pub mod scenarios;
pub mod sidecar;
pub mod simulated_hour;
#[warn(clippy::expect_used, clippy::panic, clippy::unwrap_used)]
pub mod test_cluster;
pub mod torchserve_values;
