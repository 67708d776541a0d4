//! Logs to standard error: one line per event, with fields, as text or JSON.

use tracing::{Level, Subscriber};
use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::{LevelFilter, Targets, filter_fn};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::config::{Kind, Setting, Settings};
use crate::settings;

/// The target of events that programs read: they are JSON in every format.
pub const AUDIT: &str = "audit";

/// The target of the warnings in which kube shows the whole body of a response that it cannot parse, which may be a
/// Secret.
const KUBE_CLIENT: &str = "kube_client::client";

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
    pub const SETTINGS: &[Setting] = settings! {
        log_level = "info", Kind::Text, "Log level, or levels by module, such as `info,pushscale_daemon=debug`";
        log_format = "text", Kind::OneOf(&["text", "json"]), "Format of the log lines; `json`: one object per line";
    };

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
    if subscriber(log, std::io::stderr).try_init().is_err() {
        tracing::debug!("logging is already initialised");
    }
}

/// Returns what [`init`] installs, with another writer than standard error.
pub fn subscriber<W>(log: &LogSettings, writer: W) -> impl Subscriber + Send + Sync
where
    W: for<'a> MakeWriter<'a> + Clone + Send + Sync + 'static,
{
    let layer = || {
        tracing_subscriber::fmt::layer()
            .with_writer(writer.clone())
            .with_ansi(false)
    };
    let json = || layer().json().flatten_event(true);
    let lines = match log.format {
        Format::Text => layer().boxed(),
        Format::Json => json().boxed(),
    };
    let is_audit = |event: &tracing::Metadata<'_>| event.target() == AUDIT;
    let layers = vec![
        lines
            .with_filter(filter_fn(move |event| !is_audit(event)))
            .boxed(),
        json().with_filter(filter_fn(is_audit)).boxed(),
    ];
    let mut filter = log.filter.clone();
    if filter.would_enable(KUBE_CLIENT, &Level::WARN) {
        filter = filter.with_target(KUBE_CLIENT, LevelFilter::ERROR);
    }
    tracing_subscriber::registry().with(filter).with(layers)
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Arc;

    use parking_lot::Mutex;

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn audit_events_are_json_in_both_formats_and_appear_once() {
        for format in [Format::Text, Format::Json] {
            let log = LogSettings {
                filter: parse_filter("info").unwrap(),
                format,
            };
            let lines = Lines::default();
            let writer = lines.clone();
            tracing::subscriber::with_default(subscriber(&log, move || writer.clone()), || {
                tracing::info!(target: AUDIT, current = Some(3), desired = None::<u32>, "decision changed");
                tracing::info!(current = 3, "scaling");
            });
            let text = String::from_utf8(lines.0.lock().clone()).unwrap();
            let (audit, other) = text.trim_end().split_once('\n').unwrap();
            for expected in [r#""target":"audit""#, r#""current":3"#] {
                assert!(audit.contains(expected), "{audit}");
            }
            assert!(
                audit.starts_with('{') && !audit.contains("desired"),
                "{audit}"
            );
            assert_eq!(other.starts_with('{'), format == Format::Json, "{other}");
            assert!(!other.contains('\n'), "{other}");
        }
    }

    #[test]
    fn bodies_of_the_api_server_are_not_logged() {
        for (level, has_error) in [("info", true), ("kube_client=trace", true), ("off", false)] {
            let log = LogSettings {
                filter: parse_filter(level).unwrap(),
                format: Format::Text,
            };
            let lines = Lines::default();
            let writer = lines.clone();
            tracing::subscriber::with_default(subscriber(&log, move || writer.clone()), || {
                tracing::warn!(target: "kube_client::client", "{{\"kind\":\"Secret\"}}");
                tracing::error!(target: "kube_client::client::builder", "failed");
            });
            let text = String::from_utf8(lines.0.lock().clone()).unwrap();
            assert!(!text.contains("Secret"), "{level}: {text}");
            assert_eq!(text.contains("failed"), has_error, "{level}: {text}");
        }
    }

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
