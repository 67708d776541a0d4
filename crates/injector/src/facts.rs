//! What is known beside the pod.

/// What the injection goes by beside the pod itself.
#[derive(Clone, Debug)]
pub struct Facts<'a> {
    /// The pod's namespace: the pod of a controller does not say it when it is admitted.
    pub namespace: &'a str,
    /// Does the cluster have native sidecars, that is, init containers with a restart policy (Kubernetes 1.29)?
    pub native_sidecar: bool,
    /// What every sidecar gets.
    pub sidecar: &'a Sidecar,
}

/// What every sidecar gets, unless the pod's annotations say otherwise.
#[derive(Clone, Debug)]
pub struct Sidecar {
    /// The image.
    pub image: String,
    /// When the image is pulled.
    pub pull_policy: PullPolicy,
    /// HOST:PORT of the aggregator.
    pub aggregator: String,
    /// How sidecar and aggregator know each other.
    pub trust: Trust,
    /// The namespace of Pushscale itself, whose pods are left alone.
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

/// How sidecar and aggregator know each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    /// The sidecar shows a token of its pod, over TLS by the aggregator's own authority.
    Token,
    /// Not at all: plain HTTP.
    None,
}

impl PullPolicy {
    /// As Kubernetes writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Always => "Always",
            Self::IfNotPresent => "IfNotPresent",
            Self::Never => "Never",
        }
    }
}

impl std::str::FromStr for PullPolicy {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        [Self::Always, Self::IfNotPresent, Self::Never]
            .into_iter()
            .find(|policy| policy.as_str() == text)
            .ok_or(())
    }
}

impl std::str::FromStr for Trust {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "token" => Ok(Self::Token),
            "none" => Ok(Self::None),
            _ => Err(()),
        }
    }
}
