//! The rig, and the tests that cross crates.

pub mod authority;
pub mod charts;
pub mod cluster;
pub mod conformance;
pub mod document;
pub mod everything;
pub mod fleet;
pub mod http;
pub mod injector;
pub mod load;
pub mod programs;
pub mod pushed;
pub mod rig;
pub mod shrinking;
pub mod sidecar;
pub mod small_world;
pub mod torchserve_values;
