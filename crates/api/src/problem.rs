//! Errors in a spec.

use thiserror::Error;

/// An invalid field of a spec.
///
/// The API server rejects most of them, but it may still store an object from before the CRD was updated.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{field} is {found}: it must be {expected}")]
pub struct SpecProblem {
    /// The path of the field.
    pub field: String,
    /// The invalid value.
    pub found: String,
    /// The valid values.
    pub expected: &'static str,
}
