//! The aggregator's settings.

use std::net::SocketAddr;
use std::path::PathBuf;

use pushscale_daemon::config::{ConfigError, Kind, Program, Setting, Settings};
use pushscale_daemon::logging::LogSettings;
use pushscale_daemon::settings;
use pushscale_protocol::{EXTERNAL_METRICS_TLS_DIR, TLS_DIR};

use crate::leadership::LeaseSettings;

/// The program and its settings. Settings of one scaler are in its PushScaler.
pub static PROGRAM: Program = Program {
    name: "pushscale-aggregator",
    about: "The aggregator: receives readings, computes replica counts and scales targets.",
    prefix: "PUSHSCALE_AGGREGATOR",
    formats: ".toml, .yaml or .yml",
    commands: &[(
        "check URL...",
        "Exit with 0 if each URL responds with status 200; for helm test",
    )],
    settings: &[SETTINGS, LogSettings::SETTINGS],
};

const SETTINGS: &[Setting] = settings! {
    listen = "[::]:8490", Kind::Address, "Address of the push port: `POST /v1/readings`";
    admin_listen = "[::]:8491", Kind::Address,
        "Address of the status page at `/`, `/debug/scalers`, `/debug/scalers/NAMESPACE/NAME/decisions.jsonl` (for \
         `pushscale replay`), `/live`, `/ready` and `/metrics`";
    watch_namespace = "", Kind::Text, "The only namespace to watch; without it, all are watched";
    pod_deletion_cost = "true", Kind::Boolean,
        "Mark slow pods and the least loaded ones with `controller.kubernetes.io/pod-deletion-cost` before a \
         scale-down, so that they are deleted first; annotations that other clients set are left unchanged. Without \
         it, slow pods are not replaced";
    scaler_metrics = "true", Kind::Boolean, "Export per-PushScaler series, for up to 1,000 PushScalers";
    leader_election = "false", Kind::Boolean,
        "Elect one of several aggregators by a Lease, and write only as its holder; required with more than one";
    lease = "pushscale-aggregator", Kind::Text, "With `leader_election`: name of the Lease";
    lease_namespace = "", Kind::Text, "Namespace of the Lease, from the downward API; required with `leader_election`";
    pod_name = "", Kind::Text, "Name of this pod, from the downward API; required with `leader_election`";
    peers = "", Kind::Text,
        "Host and admin port under which all aggregators are found, such as `pushscale-aggregator.pushscale.svc:8491`; \
         a starting aggregator copies the load history of the others";
    max_connections = "12000", Kind::Number(1, 1_000_000),
        "Maximum concurrent sidecar connections; further ones are rejected";
    max_connections_per_address = "512", Kind::Number(1, 1_000_000),
        "Maximum concurrent connections from one address; pods on the host network share their node's";
    max_pushes_per_second = "10000", Kind::Number(10, 1_000_000),
        "Target for the total push rate: above it, the aggregator asks the sidecars for longer scrape intervals, up to \
         3 s";
    auth = "none", Kind::OneOf(&["none", "token"]),
        "`token`: a pod pushes only its own readings, authenticated by its service account token (docs/SECURITY.md); \
         `none`: every client of the port can push for any pod";
    tls_mode = "disabled", Kind::OneOf(&["disabled", "files"]),
        "`files`: TLS, with the certificate in `TLS_DIR`; `disabled`: plain HTTP";
    tls_dir = TLS_DIR, Kind::Text, "With `files`: the directory of `tls.crt` and `tls.key`, read every 10 s";
    external_metrics = "false", Kind::Boolean, "Serve `external.metrics.k8s.io` (docs/EXTERNAL-METRICS.md)";
    external_metrics_listen = "[::]:8496", Kind::Address, "With `external_metrics`: address of the API, over TLS";
    external_metrics_tls_dir = EXTERNAL_METRICS_TLS_DIR, Kind::Text,
        "With `external_metrics`: the directory of `tls.crt` and `tls.key`, read every 10 s";
    keda = "false", Kind::Boolean, "Serve an external scaler for KEDA (docs/EXTERNAL-METRICS.md)";
    keda_listen = "[::]:8497", Kind::Address, "With `keda`: address of the scaler, gRPC without TLS";
};

/// The aggregator's settings. Settings of one scaler are in its PushScaler.
#[derive(Clone, Debug)]
pub struct Config {
    /// The log level and format.
    pub log: LogSettings,
    /// The address of the push port.
    pub listen: SocketAddr,
    /// The address of the admin port: `/live`, `/ready`, `/metrics`, `/debug/scalers` and the status page.
    pub admin_listen: SocketAddr,
    /// The namespace to watch; `None` watches all.
    pub watch_namespace: Option<String>,
    /// The Lease that elects one of several aggregators; `None` for the only one.
    pub leader_election: Option<LeaseSettings>,
    /// Host and admin port of all aggregators, to take over records of the load; `None` takes over none.
    pub peers: Option<String>,
    /// Maximum concurrent connections to the push port.
    pub max_connections: usize,
    /// Maximum concurrent connections from one address. Pods on the host network share their node's address.
    pub max_connections_per_address: usize,
    /// Maximum rate of all pushes together, in pushes per second, which the requested intervals keep.
    pub max_pushes_per_second: usize,
    /// How pushes are authenticated.
    pub auth: Auth,
    /// The directory with `tls.crt` and `tls.key`; `None` disables TLS.
    pub tls_dir: Option<PathBuf>,
    /// Whether slow pods and the least loaded ones are marked to be deleted first at a scale-down.
    pub pod_deletion_cost: bool,
    /// Whether `/metrics` has series for each PushScaler.
    pub scaler_metrics: bool,
    /// The server of the external metrics; `None` if they are not served.
    pub external_metrics: Option<ExternalMetricsSettings>,
    /// The address of the external scaler for KEDA; `None` if it is not served.
    pub keda_listen: Option<SocketAddr>,
}

/// The server of the external metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExternalMetricsSettings {
    /// The address of the API.
    pub listen: SocketAddr,
    /// The directory with `tls.crt` and `tls.key`.
    pub tls_dir: PathBuf,
}

/// How pushes are authenticated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Auth {
    /// Not at all: every client of the port can push for any pod. For use on one machine.
    None,
    /// By service account tokens: a pod can only push its own readings.
    Token,
}

impl Config {
    /// Reads the given settings.
    ///
    /// # Errors
    /// All config errors at once.
    pub fn from_settings(mut settings: Settings) -> Result<Self, Vec<ConfigError>> {
        let tls_dir = PathBuf::from(settings.text("tls_dir"));
        let config = Self {
            log: LogSettings::from_settings(&mut settings),
            listen: settings.address("listen"),
            admin_listen: settings.address("admin_listen"),
            watch_namespace: settings.optional("watch_namespace"),
            leader_election: lease(&mut settings),
            peers: settings.optional("peers"),
            max_connections: settings.number("max_connections"),
            max_connections_per_address: settings.number("max_connections_per_address"),
            max_pushes_per_second: settings.number("max_pushes_per_second"),
            auth: settings
                .one_of("auth", &[("none", Auth::None), ("token", Auth::Token)])
                .unwrap_or(Auth::Token),
            tls_dir: settings
                .one_of("tls_mode", &[("disabled", false), ("files", true)])
                .unwrap_or_default()
                .then_some(tls_dir),
            pod_deletion_cost: settings.boolean("pod_deletion_cost"),
            scaler_metrics: settings.boolean("scaler_metrics"),
            external_metrics: external_metrics(&mut settings),
            keda_listen: keda_listen(&mut settings),
        };
        settings.finish(config)
    }
}

fn external_metrics(settings: &mut Settings) -> Option<ExternalMetricsSettings> {
    let external_metrics = ExternalMetricsSettings {
        listen: settings.address("external_metrics_listen"),
        tls_dir: settings.text("external_metrics_tls_dir").into(),
    };
    settings
        .boolean("external_metrics")
        .then_some(external_metrics)
}

fn keda_listen(settings: &mut Settings) -> Option<SocketAddr> {
    let address = settings.address("keda_listen");
    settings.boolean("keda").then_some(address)
}

fn lease(settings: &mut Settings) -> Option<LeaseSettings> {
    let lease = LeaseSettings {
        name: settings.text("lease"),
        namespace: settings.text("lease_namespace"),
        pod: settings.text("pod_name"),
    };
    if !settings.boolean("leader_election") {
        return None;
    }
    for (key, value) in [
        ("lease", &lease.name),
        ("lease_namespace", &lease.namespace),
        ("pod_name", &lease.pod),
    ] {
        if value.is_empty() {
            settings.add_error(key, "is required with leader_election".to_owned());
        }
    }
    Some(lease)
}

#[cfg(test)]
mod tests {
    use pushscale_protocol::{
        AGGREGATOR_ADMIN_PORT, AGGREGATOR_PUSH_PORT, EXTERNAL_METRICS_PORT, KEDA_PORT,
    };

    use super::*;

    #[test]
    fn every_setting_has_a_default() {
        let config = Config::from_settings(Settings::from_pairs(&PROGRAM, []).unwrap()).unwrap();
        assert_eq!(config.listen.port(), AGGREGATOR_PUSH_PORT);
        assert_eq!(config.admin_listen.port(), AGGREGATOR_ADMIN_PORT);
        assert_eq!(config.auth, Auth::None);
        assert!(config.pod_deletion_cost && config.tls_dir.is_none());
        assert_eq!((config.external_metrics, config.keda_listen), (None, None));
    }

    #[test]
    fn external_metrics_have_a_port_and_a_certificate_of_their_own() {
        let pairs = [
            ("PUSHSCALE_AGGREGATOR_EXTERNAL_METRICS", "true"),
            ("PUSHSCALE_AGGREGATOR_KEDA", "true"),
        ];
        let settings = Settings::from_pairs(&PROGRAM, pairs).unwrap();
        let config = Config::from_settings(settings).unwrap();
        assert_eq!(
            config.keda_listen.map(|address| address.port()),
            Some(KEDA_PORT)
        );
        let external_metrics = config.external_metrics.unwrap();
        assert_eq!(external_metrics.listen.port(), EXTERNAL_METRICS_PORT);
        assert!(external_metrics.tls_dir.ends_with("external-metrics-tls"));
    }
}
