//! The test cluster, helpers for tests, and the tests that involve several crates.

pub mod all_objects;
pub mod authority;
pub mod chaos;
pub mod charts;
pub mod chromium;
pub mod conformance;
pub mod document;
pub mod fake_cluster;
pub mod fake_pod;
pub mod fleet;
pub mod http;
pub mod injector;
pub mod keda;
pub mod load;
pub mod namespace;
mod process;
pub mod programs;
pub mod prometheus;
pub mod repeated_scale_down;
pub mod sidecar;
pub mod simulated_hour;
pub mod test_cluster;
pub mod torchserve_values;
