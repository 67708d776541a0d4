//! Names, ports and files that several programs agree on. Names in Kubernetes objects (labels, conditions) are in the
//! `api` crate.

/// The version of the push message that this crate writes and reads.
pub const VERSION: u32 = 1;

/// The path of pushes on the aggregator's push port.
pub const PUSH_PATH: &str = "/v1/readings";

/// The aggregator's push port.
pub const AGGREGATOR_PUSH_PORT: u16 = 8490;

/// The aggregator's `/live`, `/ready`, `/metrics`, `/debug/scalers` and status page.
pub const AGGREGATOR_ADMIN_PORT: u16 = 8491;

/// The sidecar's `/live`, `/ready`, `/metrics`, `/reading` and `/drain`. It differs from TorchServe's ports (7070,
/// 7071, 8080 to 8082, 9000 and up) and KServe's (8085).
pub const SIDECAR_PORT: u16 = 8492;

/// The injector's webhook, over TLS.
pub const INJECTOR_PORT: u16 = 8493;

/// The injector's `/live`, `/ready` and `/metrics`.
pub const INJECTOR_ADMIN_PORT: u16 = 8494;

/// The `/live`, `/ready` and `/metrics` of `pushscale-certificates`.
pub const CERTIFICATES_ADMIN_PORT: u16 = 8495;

/// The aggregator's `external.metrics.k8s.io`, over TLS.
pub const EXTERNAL_METRICS_PORT: u16 = 8496;

/// The aggregator's external scaler for KEDA, gRPC.
pub const KEDA_PORT: u16 = 8497;

/// TorchServe's default management port. KServe's runtime has it on 8085.
pub const TORCHSERVE_MANAGEMENT_PORT: u16 = 8081;

/// TorchServe's default metrics port.
pub const TORCHSERVE_METRICS_PORT: u16 = 8082;

/// The prefix of the sidecar's environment variables, which the injector sets.
pub const SIDECAR_ENV_PREFIX: &str = "PUSHSCALE_SIDECAR";

/// The shortest scrape interval, like all durations of settings in jiff's format.
pub const MIN_SCRAPE_INTERVAL: &str = "100ms";

/// The longest scrape interval.
pub const MAX_SCRAPE_INTERVAL: &str = "60s";

/// The sidecar's endpoint for TorchServe's preStop hook: it responds when the server has no waiting and no in-flight
/// requests.
pub const DRAIN_PATH: &str = "/drain";

/// The default of the maximum duration of a drain.
pub const DRAIN_DEADLINE: &str = "25s";

/// The shortest maximum duration of a drain.
pub const MIN_DRAIN_DEADLINE: &str = "1s";

/// The longest maximum duration of a drain.
pub const MAX_DRAIN_DEADLINE: &str = "1h";

/// The audience of the service account tokens of sidecars.
pub const TOKEN_AUDIENCE: &str = "pushscale";

/// The directory of [`TOKEN_FILE`] and [`CA_FILE`] in the sidecar's container.
pub const CREDENTIALS_DIR: &str = "/var/run/secrets/pushscale.dev";

/// The sidecar's token, which the kubelet renews.
pub const TOKEN_FILE: &str = "token";

/// The CA certificates that verify the aggregator, as PEM: a file in the sidecar's container, a key of the ConfigMap
/// and of the Secrets.
pub const CA_FILE: &str = "ca.crt";

/// The ConfigMap with the CA certificates, under the key [`CA_FILE`], in every namespace.
pub const CA_CONFIG_MAP: &str = "pushscale-ca";

/// The label of a namespace without the ConfigMap: `disabled`.
pub const CA_LABEL: &str = "pushscale.dev/ca";

/// The default directory of [`TLS_CERTIFICATE_FILE`], [`TLS_KEY_FILE`] and [`CA_FILE`] in the programs that serve TLS.
pub const TLS_DIR: &str = "/etc/pushscale/tls";

/// The default directory of [`TLS_CERTIFICATE_FILE`] and [`TLS_KEY_FILE`] of the external metrics.
pub const EXTERNAL_METRICS_TLS_DIR: &str = "/etc/pushscale/external-metrics-tls";

/// A server's certificate chain as PEM: a file, and a key of its Secret.
pub const TLS_CERTIFICATE_FILE: &str = "tls.crt";

/// A server's private key as PEM: a file, and a key of its Secret.
pub const TLS_KEY_FILE: &str = "tls.key";
