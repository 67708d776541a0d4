//! Every public name that Kubernetes sees, in one place. Ports and paths, which the sidecar needs too and
//! which have nothing to do with Kubernetes, are in the `protocol` crate.

/// The API group of PushScaler.
pub const GROUP: &str = "pushscale.dev";

/// The name under which the aggregator writes fields (`managedFields`) and reports events.
pub const FIELD_MANAGER: &str = "pushscale-aggregator";

/// The container that the sidecar runs in.
pub const SIDECAR_CONTAINER: &str = "pushscale-sidecar";

/// The condition types of a PushScaler: the HPA's three, and ours.
pub mod conditions {
    /// Can the target's size be read and written?
    pub const ABLE_TO_SCALE: &str = "AbleToScale";
    /// Is there a metric to go by?
    pub const SCALING_ACTIVE: &str = "ScalingActive";
    /// Did a bound or a limit cut what was wanted?
    pub const SCALING_LIMITED: &str = "ScalingLimited";
    /// Do all running pods report?
    pub const FRESH: &str = "Fresh";
    /// Does the queue model lack an input?
    pub const METRICS_INCOMPLETE: &str = "MetricsIncomplete";
    /// Do requests arrive and none is answered?
    pub const STUCK: &str = "Stuck";
    /// Can the target be kept at all?
    pub const TARGET_REACHABLE: &str = "TargetReachable";
}
