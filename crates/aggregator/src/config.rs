//! The aggregator's settings.

use std::net::SocketAddr;

use pushscale_daemon::config::{ConfigError, Settings};
use pushscale_daemon::logging::LogFilter;
use pushscale_protocol::{AGGREGATOR_ADMIN_PORT, AGGREGATOR_PUSH_PORT};

use crate::certificates::CertificateSettings;

/// The prefix of the aggregator's environment variables.
pub const PREFIX: &str = "PUSHSCALE_AGGREGATOR";

/// The aggregator's settings. What a scaler does is in its PushScaler and not here.
#[derive(Clone, Debug)]
pub struct Config {
    /// What is logged.
    pub log: LogFilter,
    /// Where readings are taken.
    pub listen: SocketAddr,
    /// Where `/live`, `/ready`, `/metrics`, `/debug/scalers` and the status page are served.
    pub admin_listen: SocketAddr,
    /// Only this namespace's PushScalers; `None`: all.
    pub namespace: Option<String>,
    /// Sidecars at a time; one more is told 503.
    pub max_connections: usize,
    /// Connections at a time from one address. Pods of a host network share their node's.
    pub max_connections_per_address: usize,
    /// Who may push.
    pub auth: Auth,
    /// Certificates; `None`: no TLS.
    pub certificates: Option<CertificateSettings>,
    /// Pods are told which of them goes first when the size shrinks.
    pub deletion_cost: bool,
}

/// Who may push.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Auth {
    /// Whoever reaches the port, for any pod: for runs on one machine.
    None,
    /// A pod for itself, by its service account token.
    Token,
}

impl Config {
    /// From the environment.
    ///
    /// # Errors
    /// All mistakes at once.
    pub fn load() -> Result<Self, Vec<ConfigError>> {
        Self::from_settings(Settings::from_environment(PREFIX)?)
    }

    /// From settings.
    ///
    /// # Errors
    /// All mistakes at once.
    pub fn from_settings(mut settings: Settings) -> Result<Self, Vec<ConfigError>> {
        let any = |port| SocketAddr::from(([0, 0, 0, 0], port));
        let namespace = Some(settings.text("namespace", "")).filter(|name| !name.is_empty());
        let config = Self {
            log: LogFilter::from_settings(&mut settings),
            listen: settings.address("listen", any(AGGREGATOR_PUSH_PORT)),
            admin_listen: settings.address("admin_listen", any(AGGREGATOR_ADMIN_PORT)),
            certificates: CertificateSettings::from_settings(&mut settings, namespace.as_deref()),
            namespace,
            max_connections: settings.number("max_connections", 8192, 1, 1_000_000),
            max_connections_per_address: settings.number(
                "max_connections_per_address",
                512,
                1,
                1_000_000,
            ),
            auth: auth(&mut settings),
            deletion_cost: on_or_off(&mut settings, "deletion_cost", true),
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

fn on_or_off(settings: &mut Settings, key: &str, default: bool) -> bool {
    let default = if default { "on" } else { "off" };
    match settings.text(key, default).as_str() {
        "on" => true,
        "off" => false,
        other => {
            settings.add_error(key, format!("is {other:?}: it must be on or off"));
            false
        }
    }
}
