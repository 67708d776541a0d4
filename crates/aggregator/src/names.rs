//! What scalers and targets are called.

use std::fmt;

/// A PushScaler's namespace and name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ScalerKey {
    /// `metadata.namespace`.
    pub namespace: String,
    /// `metadata.name`.
    pub name: String,
}

impl fmt::Display for ScalerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// The object whose size is written.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TargetRef {
    /// The scaler's namespace.
    pub namespace: String,
    /// Such as `apps/v1`.
    pub api_version: String,
    /// Such as `Deployment`.
    pub kind: String,
    /// `metadata.name`.
    pub name: String,
}

impl TargetRef {
    /// Is it the same object? Two versions of one group name the same one.
    pub fn is_same_object(&self, other: &Self) -> bool {
        let group = |api_version: &str| match api_version.split_once('/') {
            Some((group, _)) => group.to_owned(),
            None => String::new(),
        };
        self.namespace == other.namespace
            && self.kind == other.kind
            && self.name == other.name
            && group(&self.api_version) == group(&other.api_version)
    }
}

impl fmt::Display for TargetRef {
    /// As `kubectl get hpa` writes a reference.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind, self.name)
    }
}
