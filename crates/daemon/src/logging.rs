//! Logs to standard error: one line per event, with fields.

use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::config::Settings;

/// Which events are logged.
#[derive(Clone, Debug)]
pub struct LogFilter(Targets);

impl LogFilter {
    /// Reads the setting `log_level`: a level (`info`), or levels by module (`info,pushscale_aggregator=debug`).
    pub fn from_settings(settings: &mut Settings) -> Self {
        let text = settings.text("log_level", "info");
        let targets = text.parse().unwrap_or_else(|_| {
            let problem = format!(
                "is {text:?}: it must be error, warn, info, debug or trace, or such levels by module"
            );
            settings.add_error("log_level", problem);
            Targets::new()
        });
        Self(targets)
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
