//! The real HorizontalPodAutoscaler's controller in fake time, and whether ours decides as it does.
//!
//! The controller is a Go program, `tests/conformance/upstream`; `tests/conformance/README.md` describes both
//! sides.

mod comparison;
mod error;
mod recorder;

pub use comparison::{Comparison, compare};
pub use error::ConformanceError;
pub use recorder::Recorder;
