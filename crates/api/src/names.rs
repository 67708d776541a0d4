//! Every public name that Kubernetes sees, in one place. Ports and paths, which the sidecar needs too and
//! which have nothing to do with Kubernetes, are in the `protocol` crate.

/// The API group of PushScaler.
pub const GROUP: &str = "pushscale.dev";

/// The name under which the aggregator writes fields (`managedFields`) and reports events.
pub const FIELD_MANAGER: &str = "pushscale-aggregator";

/// The container that the sidecar runs in.
pub const SIDECAR_CONTAINER: &str = "pushscale-sidecar";

/// The pod's volume with the sidecar's token and the aggregator's CA.
pub const TRUST_VOLUME: &str = "pushscale-trust";

/// What Kubernetes goes by when it chooses which pods of a ReplicaSet go first: the cheapest.
pub const POD_DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";

/// The label on a namespace or a pod that asks for the sidecar.
pub mod inject {
    /// On a namespace or a pod: [`ENABLED`] or [`DISABLED`]; the pod's counts more.
    pub const LABEL: &str = "pushscale.dev/inject";
    /// The sidecar is wanted.
    pub const ENABLED: &str = "enabled";
    /// The sidecar is not wanted.
    pub const DISABLED: &str = "disabled";
}

/// Annotations on a pod template: what differs for this pod, and what became of it.
pub mod annotations {
    /// TorchServe's metrics port; 8082 if not said.
    pub const METRICS_PORT: &str = "pushscale.dev/metrics-port";
    /// TorchServe's metrics path; `/metrics` if not said.
    pub const METRICS_PATH: &str = "pushscale.dev/metrics-path";
    /// TorchServe's management port, or `off`; 8081 if not said.
    pub const MANAGEMENT_PORT: &str = "pushscale.dev/management-port";
    /// The file with the management port's token, in the TorchServe container.
    pub const MANAGEMENT_TOKEN_FILE: &str = "pushscale.dev/management-token-file";
    /// The interval between scrapes, such as `1s`.
    pub const SCRAPE_INTERVAL: &str = "pushscale.dev/scrape-interval";
    /// The sidecar's image.
    pub const IMAGE: &str = "pushscale.dev/image";
    /// The sidecar's CPU request, such as `1m`.
    pub const CPU_REQUEST: &str = "pushscale.dev/cpu-request";
    /// The sidecar's CPU limit; none if not said.
    pub const CPU_LIMIT: &str = "pushscale.dev/cpu-limit";
    /// The sidecar's memory request, such as `4Mi`.
    pub const MEMORY_REQUEST: &str = "pushscale.dev/memory-request";
    /// The sidecar's memory limit, such as `16Mi`.
    pub const MEMORY_LIMIT: &str = "pushscale.dev/memory-limit";
    /// How long the pod may take to answer what it has, such as `25s`.
    pub const DRAIN_DEADLINE: &str = "pushscale.dev/drain-deadline";
    /// Which container is TorchServe, where that is not plain.
    pub const CONTAINER: &str = "pushscale.dev/container";
    /// Written by the injector: the version that brought the sidecar in.
    pub const INJECTED: &str = "pushscale.dev/injected";
    /// Written by the injector: why the pod, or a part of it, was left as it was.
    pub const SKIPPED: &str = "pushscale.dev/skipped";
    /// Written by `pushscale inject` if it changes the grace period: the original, or `unset`. `--uninject` restores it.
    pub const ORIGINAL_GRACE_PERIOD: &str = "pushscale.dev/original-grace-period";
}

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
