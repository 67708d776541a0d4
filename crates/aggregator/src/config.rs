//! The aggregator's settings.

use std::net::SocketAddr;

use pushscale_certificates::CertificateSettings;
use pushscale_daemon::config::{ConfigError, Settings};
use pushscale_daemon::logging::LogFilter;
use pushscale_protocol::{AGGREGATOR_ADMIN_PORT, AGGREGATOR_PUSH_PORT};

/// The prefix of the aggregator's environment variables.
pub const PREFIX: &str = "PUSHSCALE_AGGREGATOR";

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
    /// Reads the environment.
    ///
    /// # Errors
    /// All config errors at once.
    pub fn load() -> Result<Self, Vec<ConfigError>> {
        Self::from_settings(Settings::from_environment(PREFIX)?)
    }

    /// Reads the config from `settings`.
    ///
    /// # Errors
    /// All config errors at once.
    pub fn from_settings(mut settings: Settings) -> Result<Self, Vec<ConfigError>> {
        let any = |port| SocketAddr::from(([0, 0, 0, 0], port));
        let watch_namespace =
            Some(settings.text("watch_namespace", "")).filter(|name| !name.is_empty());
        let config = Self {
            log: LogFilter::from_settings(&mut settings),
            listen: settings.address("listen", any(AGGREGATOR_PUSH_PORT)),
            admin_listen: settings.address("admin_listen", any(AGGREGATOR_ADMIN_PORT)),
            certificates: CertificateSettings::from_settings(
                &mut settings,
                watch_namespace.as_deref(),
            ),
            watch_namespace,
            max_connections: settings.number("max_connections", 8192, 1, 1_000_000),
            max_connections_per_address: settings.number(
                "max_connections_per_address",
                512,
                1,
                1_000_000,
            ),
            auth: auth(&mut settings),
            pod_deletion_cost: boolean(&mut settings, "pod_deletion_cost", true),
        };
        settings.finish(config)
    }
}

fn auth(settings: &mut Settings) -> Auth {
    match settings.text("auth", "none").as_str() {
        "none" => Auth::None,
        "token" => Auth::Token,
        text => {
            settings.add_error("auth", format!("is {text:?}: it must be none or token"));
            Auth::None
        }
    }
}

fn boolean(settings: &mut Settings, key: &str, default: bool) -> bool {
    let text = settings.text(key, if default { "true" } else { "false" });
    text.parse().unwrap_or_else(|_| {
        settings.add_error(key, format!("is {text:?}: it must be true or false"));
        default
    })
}
