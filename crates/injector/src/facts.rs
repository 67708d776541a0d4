//! The inputs of the injection apart from the pod.

use std::str::FromStr;

/// The inputs of the injection apart from the pod.
#[derive(Clone, Debug)]
pub struct Facts<'a> {
    /// The pod's namespace. It is not in the pod of a controller at admission.
    pub namespace: &'a str,
    /// TorchServe's container; takes precedence over the annotation. `None` if the pod decides.
    pub container: Option<&'a str>,
    /// Whether the cluster has native sidecars: init containers with a restart policy (Kubernetes 1.29).
    pub native_sidecar: bool,
    /// The settings of every sidecar.
    pub sidecar: &'a Sidecar,
}

/// The settings of every sidecar. A pod's annotations can override the image.
#[derive(Clone, Debug)]
pub struct Sidecar {
    /// The image.
    pub image: String,
    /// When the image is pulled.
    pub pull_policy: PullPolicy,
    /// The aggregator's `HOST:PORT`.
    pub aggregator: String,
    /// How sidecar and aggregator authenticate.
    pub auth: Auth,
    /// Pushscale's namespace, whose pods get no sidecar.
    pub own_namespace: Option<String>,
}

/// When an image is pulled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PullPolicy {
    /// At every start.
    Always,
    /// If the node does not have it.
    IfNotPresent,
    /// Never.
    Never,
}

/// How sidecar and aggregator authenticate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Auth {
    /// The sidecar sends a token of its pod, over TLS with the aggregator's own CA.
    Token,
    /// No authentication, over plain HTTP.
    None,
}

impl PullPolicy {
    /// Returns Kubernetes' name for the policy.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Always => "Always",
            Self::IfNotPresent => "IfNotPresent",
            Self::Never => "Never",
        }
    }
}

impl FromStr for PullPolicy {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        [Self::Always, Self::IfNotPresent, Self::Never]
            .into_iter()
            .find(|policy| policy.as_str() == text)
            .ok_or(())
    }
}

impl FromStr for Auth {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "token" => Ok(Self::Token),
            "none" => Ok(Self::None),
            _ => Err(()),
        }
    }
}
