//! The rig, and the tests that cross crates.

pub mod http;
pub mod rig;
pub mod sidecar;
pub mod small_world;
