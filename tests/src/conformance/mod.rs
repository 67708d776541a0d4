//! Runs the controller of the real HorizontalPodAutoscaler in fake time and compares Pushscale's decisions with it.
//!
//! The controller is a Go program, `tests/conformance/upstream`; `tests/conformance/README.md` describes both
//! sides.

mod case;
mod comparison;
mod difference;
mod error;
mod recorder;
mod replay;
mod samples;

pub use case::{
    Case, CaseMetric, CasePod, CasePolicy, Controller, Expect, Fault, Step, parse_case, read_cases,
};
pub use comparison::{Comparison, compare};
pub use difference::{Difference, Found};
pub use error::ConformanceError;
pub use recorder::Recorder;
pub use replay::replay;

/// The names of cases in which the HPA's integers overflow, with a result that depends on the processor. Pushscale's
/// saturate: an overload that is too large for an integer must not look like idleness.
pub const SAFER_THAN_THE_HPA: [&str; 4] = [
    "count-above-int32-becomes-zero-on-amd64",
    "count-above-two-to-the-32-becomes-zero-on-amd64",
    "count-above-int64-becomes-zero-on-amd64",
    "sum-of-samples-wraps-int64",
];
