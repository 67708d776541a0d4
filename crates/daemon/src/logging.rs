//! Logs: one line an event, to standard error, fields instead of prose.

use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::config::Settings;

/// What is logged.
#[derive(Clone, Debug)]
pub struct Log(Targets);

impl Log {
    /// Takes the key `log`: a level (`info`), or levels by module (`info,pushscale_aggregator=debug`).
    pub fn from_settings(settings: &mut Settings) -> Self {
        let text = settings.text("log", "info");
        let targets = text.parse().unwrap_or_else(|_| {
            let problem = format!(
                "is {text:?}: it must be error, warn, info, debug or trace, or such levels by module"
            );
            settings.mistake("log", problem);
            Targets::new()
        });
        Self(targets)
    }
}

/// Begins to log. A second call, as tests make, changes nothing.
pub fn init(log: &Log) {
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(false);
    let begun = tracing_subscriber::registry()
        .with(log.0.clone())
        .with(lines)
        .try_init();
    if begun.is_err() {
        tracing::debug!("logging had begun before");
    }
}
