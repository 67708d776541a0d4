//! Logs to standard error: one line per event, with fields.

use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::config::{Kind, Setting, Settings};

/// Which events are logged.
#[derive(Clone, Debug)]
pub struct LogFilter(Targets);

impl LogFilter {
    /// The setting that [`from_settings`](Self::from_settings) reads.
    pub const SETTING: Setting = Setting {
        key: "log_level",
        default: Some("info"),
        kind: Kind::Text,
        description: "Log level, or levels by module, such as `info,pushscale_daemon=debug`",
    };

    /// Reads the setting `log_level`.
    pub fn from_settings(settings: &mut Settings) -> Self {
        let expected = "error, warn, info, debug or trace, or such levels by module";
        let targets = settings.parse("log_level", |text| text.parse().map_err(|_| expected));
        Self(targets.unwrap_or_default())
    }
}

/// Starts logging. A second call in one process, as in tests, has no effect.
pub fn init(log: &LogFilter) {
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(false);
    let initialised = tracing_subscriber::registry()
        .with(log.0.clone())
        .with(lines)
        .try_init();
    if initialised.is_err() {
        tracing::debug!("logging is already initialised");
    }
}
