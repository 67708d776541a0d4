//! Runs the controller of the real HorizontalPodAutoscaler in fake time and compares Pushscale's decisions with it.
//!
//! The controller is a Go program, `tests/conformance/upstream`; `tests/conformance/README.md` describes both
//! sides.

mod comparison;
mod error;
mod recorder;

pub use comparison::{Comparison, compare};
pub use error::ConformanceError;
pub use recorder::Recorder;
