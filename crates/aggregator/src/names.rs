//! Names of scalers and targets.

use std::fmt;

use pushscale_api::ScaleTargetRef;

/// The namespace and name of a PushScaler or HorizontalPodAutoscaler.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ScalerKey {
    /// `metadata.namespace`.
    pub namespace: String,
    /// `metadata.name`.
    pub name: String,
}

impl ScalerKey {
    /// Creates a key.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            namespace: namespace.into(),
            name: name.into(),
        }
    }
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
    /// Creates a reference to an object in the namespace of its scaler.
    pub fn new(namespace: impl Into<String>, reference: &ScaleTargetRef) -> Self {
        Self {
            namespace: namespace.into(),
            api_version: reference.api_version.clone(),
            kind: reference.kind.clone(),
            name: reference.name.clone(),
        }
    }

    /// Creates a reference to a Deployment.
    pub fn deployment(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            namespace: namespace.into(),
            api_version: "apps/v1".to_owned(),
            kind: "Deployment".to_owned(),
            name: name.into(),
        }
    }

    /// Whether both references name the same object, possibly by different versions of one API group.
    pub fn is_same_object(&self, other: &Self) -> bool {
        self.object() == other.object()
    }

    /// Returns what identifies the object: namespace, API group, kind and name.
    pub(crate) fn object(&self) -> (&str, &str, &str, &str) {
        let group = self.api_version.split_once('/');
        let group = group.map_or("", |(group, _version)| group);
        (&self.namespace, group, &self.kind, &self.name)
    }
}

impl fmt::Display for TargetRef {
    /// Writes the reference like `kubectl get hpa`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind, self.name)
    }
}
