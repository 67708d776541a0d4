//! The aggregator's settings.

use std::net::SocketAddr;

use pushscale_certificates::CertificateSettings;
use pushscale_daemon::config::{ConfigError, Kind, Program, Setting, Settings};
use pushscale_daemon::logging::LogFilter;

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
    settings: &[
        SETTINGS,
        CertificateSettings::SETTINGS,
        &[LogFilter::SETTING],
    ],
};

const SETTINGS: &[Setting] = &[
    Setting {
        key: "listen",
        default: Some("[::]:8490"),
        kind: Kind::Address,
        description: "Address of the push port: `POST /v1/readings`",
    },
    Setting {
        key: "admin_listen",
        default: Some("[::]:8491"),
        kind: Kind::Address,
        description: "Address of the status page at `/`, `/debug/scalers`, \
                      `/debug/scalers/NAMESPACE/NAME/decisions.jsonl` (for `pushscale replay`), `/live`, `/ready` and \
                      `/metrics`",
    },
    Setting {
        key: "watch_namespace",
        default: Some(""),
        kind: Kind::Text,
        description: "The only namespace to watch; without it, all are watched",
    },
    Setting {
        key: "pod_deletion_cost",
        default: Some("true"),
        kind: Kind::Boolean,
        description: "Mark the least loaded pods with `controller.kubernetes.io/pod-deletion-cost` before a scale-down, \
                      so that they are deleted first; annotations that other clients set are left unchanged",
    },
    Setting {
        key: "max_connections",
        default: Some("8192"),
        kind: Kind::Number(1, 1_000_000),
        description: "Maximum concurrent sidecar connections; further ones get 503",
    },
    Setting {
        key: "max_connections_per_address",
        default: Some("512"),
        kind: Kind::Number(1, 1_000_000),
        description: "Maximum concurrent connections from one address; pods on the host network share their node's",
    },
    Setting {
        key: "auth",
        default: Some("none"),
        kind: Kind::OneOf(&["none", "token"]),
        description: "`token`: a pod pushes only its own readings, authenticated by its service account token \
                      ([SECURITY.md](SECURITY.md)); `none`: every client of the port can push for any pod",
    },
];

/// The aggregator's settings. Settings of one scaler are in its PushScaler.
#[derive(Clone, Debug)]
pub struct Config {
    /// The log level and format.
    pub log: LogFilter,
    /// The address of the push port.
    pub listen: SocketAddr,
    /// The address of the admin port: `/live`, `/ready`, `/metrics`, `/debug/scalers` and the status page.
    pub admin_listen: SocketAddr,
    /// The namespace to watch; `None` watches all.
    pub watch_namespace: Option<String>,
    /// Maximum concurrent connections to the push port.
    pub max_connections: usize,
    /// Maximum concurrent connections from one address. Pods on the host network share their node's address.
    pub max_connections_per_address: usize,
    /// How pushes are authenticated.
    pub auth: Auth,
    /// TLS certificates; `None` disables TLS.
    pub certificates: Option<CertificateSettings>,
    /// Whether the least loaded pods are marked to be deleted first at a scale-down.
    pub pod_deletion_cost: bool,
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
        let watch_namespace = settings.optional("watch_namespace");
        let config = Self {
            log: LogFilter::from_settings(&mut settings),
            listen: settings.address("listen"),
            admin_listen: settings.address("admin_listen"),
            certificates: CertificateSettings::from_settings(
                &mut settings,
                watch_namespace.as_deref(),
            ),
            watch_namespace,
            max_connections: settings.number("max_connections"),
            max_connections_per_address: settings.number("max_connections_per_address"),
            auth: settings
                .one_of("auth", &[("none", Auth::None), ("token", Auth::Token)])
                .unwrap_or(Auth::Token),
            pod_deletion_cost: settings.boolean("pod_deletion_cost"),
        };
        settings.finish(config)
    }
}

#[cfg(test)]
mod tests {
    use pushscale_protocol::{AGGREGATOR_ADMIN_PORT, AGGREGATOR_PUSH_PORT};

    use super::*;

    #[test]
    fn every_setting_has_a_default() {
        let config = Config::from_settings(Settings::from_pairs(&PROGRAM, []).unwrap()).unwrap();
        assert_eq!(config.listen.port(), AGGREGATOR_PUSH_PORT);
        assert_eq!(config.admin_listen.port(), AGGREGATOR_ADMIN_PORT);
        assert_eq!(config.auth, Auth::None);
        assert!(config.pod_deletion_cost && config.certificates.is_none());
    }
}
