//! Logs to standard error: one line per event, with fields, as text or JSON.

use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::config::{Kind, Setting, Settings};

/// Which events are logged, and in which format.
#[derive(Clone, Debug)]
pub struct LogSettings {
    filter: Targets,
    format: Format,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Format {
    #[default]
    Text,
    Json,
}

impl LogSettings {
    /// The settings that [`from_settings`](Self::from_settings) reads.
    pub const SETTINGS: &[Setting] = &[
        Setting {
            key: "log_level",
            default: Some("info"),
            kind: Kind::Text,
            description: "Log level, or levels by module, such as `info,pushscale_daemon=debug`",
        },
        Setting {
            key: "log_format",
            default: Some("text"),
            kind: Kind::OneOf(&["text", "json"]),
            description: "Format of the log lines; `json`: one object per line",
        },
    ];

    /// Reads the settings `log_level` and `log_format`.
    pub fn from_settings(settings: &mut Settings) -> Self {
        let filter = settings.parse("log_level", |text| {
            parse_filter(text)
                .ok_or("error, warn, info, debug or trace, or one of these levels per module")
        });
        let formats = [("text", Format::Text), ("json", Format::Json)];
        Self {
            filter: filter.unwrap_or_default(),
            format: settings.one_of("log_format", &formats).unwrap_or_default(),
        }
    }
}

/// Parses a list of levels and of `module=level`. `Targets` takes a word that is not a level for a module all of whose
/// events are logged, so that a misspelt level would turn off everything else.
fn parse_filter(text: &str) -> Option<Targets> {
    let is_valid = |part: &str| {
        let level = part.rsplit('=').next().unwrap_or_default();
        !level.is_empty() && level.parse::<LevelFilter>().is_ok()
    };
    let is_valid = text.split(',').all(is_valid);
    is_valid.then(|| text.parse().ok()).flatten()
}

/// Starts logging. A second call in one process, as in tests, has no effect.
pub fn init(log: &LogSettings) {
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(false);
    let lines = match log.format {
        Format::Text => lines.boxed(),
        Format::Json => lines.json().flatten_event(true).boxed(),
    };
    let initialised = tracing_subscriber::registry()
        .with(log.filter.clone())
        .with(lines)
        .try_init();
    if initialised.is_err() {
        tracing::debug!("logging is already initialised");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_levels_are_rejected() {
        for valid in [
            "info",
            "WARN",
            "off",
            "info,pushscale_daemon=debug",
            "pushscale_daemon=debug",
        ] {
            assert!(parse_filter(valid).is_some(), "{valid}");
        }
        for invalid in ["", "loud", "info,loud", "a=loud", "a=", "info,"] {
            assert!(parse_filter(invalid).is_none(), "{invalid}");
        }
    }
}
