//! The sidecar's settings.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use hyper::http::uri::PathAndQuery;
use pushscale_daemon::config::{ConfigError, Settings};
use pushscale_daemon::logging::LogFilter;
use pushscale_daemon::tls::CaBundle;
use pushscale_protocol::{
    DRAIN_DEADLINE_SECONDS, SIDECAR_PORT, TORCHSERVE_MANAGEMENT_PORT, TORCHSERVE_METRICS_PORT,
};

use crate::identity::Identity;
use crate::push::PushConfig;
use crate::scraper::{PortAddress, ScrapeConfig};
use crate::torchserve::METRICS_PATH;

/// The prefix of the sidecar's environment variables.
pub const PREFIX: &str = "PUSHSCALE_SIDECAR";

/// The sidecar's settings.
#[derive(Clone, Debug)]
pub struct Config {
    /// What is logged.
    pub log: LogFilter,
    /// Where `/live`, `/ready`, `/metrics`, `/reading` and `/drain` are served.
    pub listen: SocketAddr,
    /// How often the server is scraped at.
    pub scrape_interval: Duration,
    /// Where the server is.
    pub scrape: ScrapeConfig,
    /// Where readings go.
    pub push: PushConfig,
    /// How long `/drain` waits at the most.
    pub drain_deadline: Duration,
    /// Who speaks.
    pub identity: Identity,
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
        let least = Duration::from_millis(10);
        let second = Duration::from_secs(1);
        let minute = Duration::from_secs(60);
        let identity = Identity::new(
            settings.required("pod_namespace", "metadata.namespace of the pod"),
            settings.required("pod_name", "metadata.name of the pod"),
            settings.required("pod_uid", "metadata.uid of the pod"),
        );
        let config = Self {
            log: LogFilter::from_settings(&mut settings),
            listen: settings.address("listen", ([0, 0, 0, 0], SIDECAR_PORT).into()),
            scrape_interval: settings.duration(
                "scrape_interval",
                second,
                Duration::from_millis(100),
                minute,
            ),
            scrape: ScrapeConfig {
                metrics: metrics_address(&mut settings),
                metrics_path: metrics_path(&mut settings),
                management: management_address(&mut settings),
                management_token_file: file(&mut settings, "management_token_file"),
                timeout: settings.duration("scrape_timeout", second, least, minute),
                max_bytes: settings.number("max_page_bytes", 4 << 20, 4096, 64 << 20),
            },
            push: PushConfig {
                aggregators: aggregators(&mut settings),
                timeout: settings.duration("push_timeout", 2 * second, least, minute),
                resolve_interval: settings.duration(
                    "resolve_interval",
                    30 * second,
                    least,
                    60 * minute,
                ),
                ca_bundle: file(&mut settings, "ca_file").map(CaBundle::from_file),
                token_file: file(&mut settings, "token_file"),
            },
            drain_deadline: settings.duration(
                "drain_deadline",
                DRAIN_DEADLINE_SECONDS * second,
                second,
                60 * minute,
            ),
            identity,
        };
        settings.finish(config)
    }
}

fn file(settings: &mut Settings, key: &str) -> Option<PathBuf> {
    Some(settings.text(key, ""))
        .filter(|file| !file.is_empty())
        .map(PathBuf::from)
}

fn metrics_address(settings: &mut Settings) -> PortAddress {
    let default = format!("http://127.0.0.1:{TORCHSERVE_METRICS_PORT}");
    let text = settings.text("metrics_url", &default);
    text.parse().unwrap_or_else(|problem| {
        settings.add_error("metrics_url", format!("is {text:?}: {problem}"));
        PortAddress::default()
    })
}

fn metrics_path(settings: &mut Settings) -> PathAndQuery {
    let text = settings.text("metrics_path", METRICS_PATH);
    match text.parse() {
        Ok(path) if text.starts_with('/') => path,
        _ => {
            let problem = format!("is {text:?}: it must be a path that begins with /");
            settings.add_error("metrics_path", problem);
            PathAndQuery::from_static(METRICS_PATH)
        }
    }
}

fn management_address(settings: &mut Settings) -> Option<PortAddress> {
    let default = format!("http://127.0.0.1:{TORCHSERVE_MANAGEMENT_PORT}");
    let text = settings.text("management_url", &default);
    if text == "off" {
        return None;
    }
    text.parse()
        .map_err(|problem| {
            let problem = format!("is {text:?}: {problem}, or off");
            settings.add_error("management_url", problem);
        })
        .ok()
}

/// `HOST:PORT`, or several with commas between them.
fn aggregators(settings: &mut Settings) -> Vec<String> {
    let expected = "HOST:PORT of the aggregator's headless Service";
    let text = settings.required("aggregator", expected);
    let good = |name: &str| {
        name.rsplit_once(':').is_some_and(|(host, port)| {
            !host.is_empty() && !host.contains('/') && port.parse::<u16>().is_ok()
        })
    };
    let names: Vec<String> = text.split(',').map(|name| name.trim().to_owned()).collect();
    if !text.is_empty() && !names.iter().all(|name| good(name)) {
        settings.add_error("aggregator", format!("is {text:?}: it must be {expected}"));
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEEDED: [(&str, &str); 4] = [
        (
            "PUSHSCALE_SIDECAR_AGGREGATOR",
            "pushscale.pushscale.svc:8490",
        ),
        ("PUSHSCALE_SIDECAR_POD_NAMESPACE", "models"),
        ("PUSHSCALE_SIDECAR_POD_NAME", "torchserve-0"),
        ("PUSHSCALE_SIDECAR_POD_UID", "u"),
    ];

    fn load(more: &[(&str, &str)]) -> Result<Config, Vec<String>> {
        let pairs = NEEDED.iter().chain(more).copied();
        Config::from_settings(Settings::from_pairs(PREFIX, pairs).unwrap())
            .map_err(|mistakes| mistakes.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn four_variables_suffice() {
        let config = load(&[]).unwrap();
        assert_eq!(config.scrape_interval, Duration::from_secs(1));
        assert_eq!(
            config.scrape.metrics,
            "http://127.0.0.1:8082".parse().unwrap()
        );
        assert!(config.scrape.management.is_some());
    }

    #[test]
    fn the_management_port_can_be_left_alone() {
        let config = load(&[("PUSHSCALE_SIDECAR_MANAGEMENT_URL", "off")]).unwrap();
        assert!(config.scrape.management.is_none());
    }

    #[test]
    fn mistakes_are_told_together() {
        let told = load(&[
            ("PUSHSCALE_SIDECAR_AGGREGATOR", "http://there:1/x"),
            ("PUSHSCALE_SIDECAR_METRICS_URL", "https://127.0.0.1:8082"),
            ("PUSHSCALE_SIDECAR_METRICS_PATH", "metrics"),
            ("PUSHSCALE_SIDECAR_SCRAPE_INTERVAL", "1ms"),
            ("PUSHSCALE_SIDECAR_SCRAPE_INTERVALL", "1s"),
        ])
        .unwrap_err();
        assert_eq!(told.len(), 5, "{told:?}");
    }
}
