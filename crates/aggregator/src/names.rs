//! Names of scalers and targets.

use std::fmt;

/// The namespace and name of a PushScaler or HorizontalPodAutoscaler.
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

/// A reference to a scaled object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TargetRef {
    /// The scaler's namespace.
    pub namespace: String,
    /// For example `apps/v1`.
    pub api_version: String,
    /// For example `Deployment`.
    pub kind: String,
    /// `metadata.name`.
    pub name: String,
}

impl TargetRef {
    /// Whether both references name the same object, possibly by different versions of one API group.
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
    /// Writes the reference like `kubectl get hpa`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind, self.name)
    }
}
