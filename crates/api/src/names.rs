//! The names that appear in Kubernetes objects. Ports and paths, which the sidecar also needs, are in the `protocol`
//! crate.

/// The API group of the PushScaler resource.
pub const GROUP: &str = "pushscale.dev";

/// The aggregator's name in `managedFields` and in events.
pub const FIELD_MANAGER: &str = "pushscale-aggregator";

/// The sidecar's container.
pub const SIDECAR_CONTAINER: &str = "pushscale-sidecar";

/// The volume with the sidecar's token and the aggregator's CA.
pub const TRUST_VOLUME: &str = "pushscale-trust";

/// The annotation with a pod's deletion cost. A ReplicaSet deletes pods with a lower cost first.
pub const POD_DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";

/// The finalizer of a PushScaler with `onDelete: Restore`.
pub const RESTORE_FINALIZER: &str = "pushscale.dev/restore-replicas";

/// The label that requests the sidecar.
pub mod inject {
    /// The label of a namespace or a pod: [`ENABLED`] or [`DISABLED`]. The pod's label takes precedence.
    pub const LABEL: &str = "pushscale.dev/inject";
    /// Pods get the sidecar.
    pub const ENABLED: &str = "enabled";
    /// Pods get no sidecar.
    pub const DISABLED: &str = "disabled";
}

/// Annotations of a pod: settings of its sidecar, and the outcome of the injection.
pub mod annotations {
    /// TorchServe's metrics port; default 8082.
    pub const METRICS_PORT: &str = "pushscale.dev/metrics-port";
    /// TorchServe's metrics path; default `/metrics`.
    pub const METRICS_PATH: &str = "pushscale.dev/metrics-path";
    /// TorchServe's management port, or `off`; default 8081.
    pub const MANAGEMENT_PORT: &str = "pushscale.dev/management-port";
    /// The file with the management port's token, in the TorchServe container.
    pub const MANAGEMENT_TOKEN_FILE: &str = "pushscale.dev/management-token-file";
    /// The interval between scrapes, such as `1s`.
    pub const SCRAPE_INTERVAL: &str = "pushscale.dev/scrape-interval";
    /// The sidecar's image.
    pub const IMAGE: &str = "pushscale.dev/image";
    /// The sidecar's CPU request, such as `1m`.
    pub const CPU_REQUEST: &str = "pushscale.dev/cpu-request";
    /// The sidecar's CPU limit; default none.
    pub const CPU_LIMIT: &str = "pushscale.dev/cpu-limit";
    /// The sidecar's memory request, such as `4Mi`.
    pub const MEMORY_REQUEST: &str = "pushscale.dev/memory-request";
    /// The sidecar's memory limit, such as `16Mi`.
    pub const MEMORY_LIMIT: &str = "pushscale.dev/memory-limit";
    /// How long a terminating pod may take to complete its requests, such as `25s`.
    pub const DRAIN_DEADLINE: &str = "pushscale.dev/drain-deadline";
    /// TorchServe's container, if its name and image do not identify it.
    pub const CONTAINER: &str = "pushscale.dev/container";
    /// Written by the injector: the version that added the sidecar.
    pub const INJECTED: &str = "pushscale.dev/injected";
    /// Written by the injector: why the pod, or a part of it, was not injected.
    pub const SKIPPED: &str = "pushscale.dev/skipped";
    /// Written by the injector if it changes the grace period: the original value, or `unset`, which
    /// `pushscale inject --uninject` restores.
    pub const ORIGINAL_GRACE_PERIOD: &str = "pushscale.dev/original-grace-period";
    /// Written by the injector if TorchServe's container already had the drain as its preStop hook, which
    /// `pushscale inject --uninject` keeps.
    pub const ORIGINAL_PRE_STOP: &str = "pushscale.dev/original-pre-stop";
}

/// The condition types of a PushScaler. The first three are the HPA's.
pub mod conditions {
    /// Whether the target's replica count can be read and written.
    pub const ABLE_TO_SCALE: &str = "AbleToScale";
    /// Whether there is a metric to scale on.
    pub const SCALING_ACTIVE: &str = "ScalingActive";
    /// Whether a bound or a rate limit changed the proposal.
    pub const SCALING_LIMITED: &str = "ScalingLimited";
    /// Whether all running pods report.
    pub const FRESH: &str = "Fresh";
    /// Whether the queueing model lacks an input.
    pub const METRICS_INCOMPLETE: &str = "MetricsIncomplete";
    /// Whether requests arrive and none completes.
    pub const STUCK: &str = "Stuck";
    /// Whether the target latency can be met at all.
    pub const TARGET_REACHABLE: &str = "TargetReachable";
    /// Whether a pod is much slower than the others.
    pub const POD_OUTLIER: &str = "PodOutlier";
    /// Whether idle pods leave too few to carry the load.
    pub const LOAD_UNEVEN: &str = "LoadUneven";
    /// Whether the arrivals stopped at all pods at once.
    pub const DEMAND_VANISHED: &str = "DemandVanished";
    /// Whether the measured waits show that the queueing formula does not describe the fleet.
    pub const OUTSIDE_ENVELOPE: &str = "OutsideEnvelope";
}
