//! The aggregator's settings.

use std::net::SocketAddr;

use pushscale_daemon::config::{Mistake, Settings};
use pushscale_daemon::logging::Log;
use pushscale_protocol::{AGGREGATOR_ADMIN_PORT, AGGREGATOR_PUSH_PORT};

/// The prefix of the aggregator's environment variables.
pub const PREFIX: &str = "PUSHSCALE_AGGREGATOR";

/// The aggregator's settings. What a scaler does is in its PushScaler and not here.
#[derive(Clone, Debug)]
pub struct Config {
    /// What is logged.
    pub log: Log,
    /// Where readings are taken.
    pub listen: SocketAddr,
    /// Where `/live`, `/ready`, `/metrics`, `/debug/scalers` and the status page are served.
    pub admin_listen: SocketAddr,
    /// Only this namespace's PushScalers; `None`: all.
    pub namespace: Option<String>,
    /// Sidecars at a time; one more is told 503.
    pub max_connections: usize,
}

impl Config {
    /// From the environment.
    ///
    /// # Errors
    /// All mistakes at once.
    pub fn load() -> Result<Self, Vec<Mistake>> {
        Self::from_settings(Settings::from_environment(PREFIX)?)
    }

    /// From settings.
    ///
    /// # Errors
    /// All mistakes at once.
    pub fn from_settings(mut settings: Settings) -> Result<Self, Vec<Mistake>> {
        let any = |port| SocketAddr::from(([0, 0, 0, 0], port));
        let config = Self {
            log: Log::from_settings(&mut settings),
            listen: settings.address("listen", any(AGGREGATOR_PUSH_PORT)),
            admin_listen: settings.address("admin_listen", any(AGGREGATOR_ADMIN_PORT)),
            namespace: Some(settings.text("namespace", "")).filter(|name| !name.is_empty()),
            max_connections: settings.number("max_connections", 8192, 1, 1_000_000),
        };
        settings.finish(config)
    }
}
