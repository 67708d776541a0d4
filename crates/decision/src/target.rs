//! The state of the target.

/// The target as last observed by the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TargetState {
    /// The scale was read.
    Known {
        /// `scale.spec.replicas`.
        replicas: u32,
        /// `scale.status.replicas`: the pods that exist according to the target's controller, if it reports them.
        existing: Option<u32>,
        /// `scale.status.selector`.
        selector: Selector,
        /// Whether a scale-down deletes slow pods first: the target's controller honours the deletion cost, as a
        /// ReplicaSet's does and a StatefulSet's does not, and the caller may set it. Otherwise slow pods are not
        /// replaced.
        deletes_slow_first: bool,
    },
    /// The target does not exist, has no scale, or could not be read.
    Unreadable {
        /// The error.
        message: String,
    },
    /// Another autoscaler has the same target.
    Conflict {
        /// Kind, namespace and name of the other autoscaler.
        with: String,
    },
}

/// The state of the target's selector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selector {
    /// The selector can be used.
    Usable,
    /// The scale has no selector.
    Missing,
    /// The selector does not parse.
    Invalid {
        /// The parse error.
        message: String,
    },
    /// The pods cannot be listed.
    Unlisted {
        /// The API server's message.
        message: String,
    },
    /// Another autoscaler's target selects some of the same pods.
    Shared {
        /// Kind, namespace and name of the other autoscaler.
        with: String,
    },
}
