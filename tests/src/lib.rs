//! The rig, and the tests that cross crates.

pub mod rig;
