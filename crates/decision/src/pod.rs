//! What Kubernetes says of a pod.

/// `metadata.uid`: a pod's identity; a name comes back with another pod, a uid never does.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PodUid(String);

impl PodUid {
    /// As Kubernetes writes it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for PodUid {
    fn from(uid: &str) -> Self {
        Self(uid.to_owned())
    }
}

impl From<String> for PodUid {
    fn from(uid: String) -> Self {
        Self(uid)
    }
}

/// The facts about a pod that decide how its reading counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    /// `metadata.name`, for explanations.
    pub name: String,
    /// `status.phase`.
    pub phase: Phase,
    /// The Ready condition is True. The HPA does not look at it for a per-pod metric; it is reported.
    pub ready: bool,
    /// `metadata.deletionTimestamp` is set.
    pub deleting: bool,
}

impl Pod {
    /// A pod that runs and is ready.
    pub fn running(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            phase: Phase::Running,
            ready: true,
            deleting: false,
        }
    }
}

/// `status.phase`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Accepted, not all containers started.
    Pending,
    /// Bound to a node, at least one container started.
    Running,
    /// All containers ended well.
    Succeeded,
    /// All containers ended, one of them badly.
    Failed,
    /// The node does not answer.
    Unknown,
}
