//! Where the two sides meet. Kubernetes' names (labels, conditions) are in the `api` crate.

/// The version of the message that this crate writes and reads.
pub const VERSION: u32 = 1;

/// The path that readings are POSTed to.
pub const PUSH_PATH: &str = "/v1/readings";

/// The aggregator takes readings here.
pub const AGGREGATOR_PUSH_PORT: u16 = 8490;

/// The aggregator's `/live`, `/ready`, `/metrics`, `/debug/scalers` and status page.
pub const AGGREGATOR_ADMIN_PORT: u16 = 8491;

/// The sidecar's `/live`, `/ready`, `/metrics`, `/reading` and `/drain`. Clear of TorchServe's ports (7070, 7071, 8080
/// to 8082, 9000 and up) and KServe's (8085).
pub const SIDECAR_PORT: u16 = 8492;

/// The injector answers the API server here, over TLS.
pub const INJECTOR_PORT: u16 = 8493;

/// The injector's `/live`, `/ready` and `/metrics`.
pub const INJECTOR_ADMIN_PORT: u16 = 8494;

/// Answers when the server beside the sidecar has nothing queued and nothing in service: TorchServe's preStop hook.
pub const DRAIN_PATH: &str = "/drain";

/// The default of the sidecar's `DRAIN_DEADLINE`, in seconds. The injector sets the pod's grace period accordingly.
pub const DRAIN_DEADLINE_SECONDS: u32 = 25;

/// TorchServe's default metrics port, which the sidecar scrapes if nothing else is set.
pub const TORCHSERVE_METRICS_PORT: u16 = 8082;

/// TorchServe's default management port, which the sidecar scrapes if nothing else is set.
pub const TORCHSERVE_MANAGEMENT_PORT: u16 = 8081;

/// The audience of the service-account token that a sidecar shows, and that an aggregator asks for.
pub const TOKEN_AUDIENCE: &str = "pushscale";

/// The folder in the sidecar's container that has [`TOKEN_FILE`] and [`CA_FILE`].
pub const CREDENTIALS_DIR: &str = "/var/run/secrets/pushscale.dev";

/// The sidecar's token, which the kubelet renews.
pub const TOKEN_FILE: &str = "token";

/// The certificates by which a sidecar knows the aggregator, as PEM; also the key in the ConfigMap.
pub const CA_FILE: &str = "ca.crt";

/// The ConfigMap with the CA certificates, under the key [`CA_FILE`], in every namespace.
pub const CA_CONFIG_MAP: &str = "pushscale-ca";
