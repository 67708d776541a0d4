//! What is known of the object whose size is written.

/// The target, as the caller last saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TargetState {
    /// Its scale was read.
    Known {
        /// `scale.spec.replicas`.
        replicas: u32,
        /// `scale.status.selector`.
        selector: Selector,
    },
    /// It does not exist, has no scale, or could not be read.
    Unreadable {
        /// What the API server said.
        message: String,
    },
    /// Another autoscaler writes it.
    Conflict {
        /// Kind, namespace and name of that one.
        with: String,
    },
}

/// Whether the target's selector tells its pods.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selector {
    /// It does.
    Usable,
    /// The scale has none.
    Missing,
    /// It does not parse.
    Invalid {
        /// What is wrong with it.
        message: String,
    },
    /// Some of its pods are also under the target of another autoscaler.
    Shared {
        /// Kind, namespace and name of that one.
        with: String,
    },
}
