//! The sidecar's settings.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use hyper::http::uri::PathAndQuery;
use pushscale_daemon::config::{ConfigError, Kind, Program, Setting, Settings};
use pushscale_daemon::logging::LogSettings;
use pushscale_daemon::settings;
use pushscale_daemon::tls::CaBundle;
use pushscale_protocol::{
    DRAIN_DEADLINE, MAX_DRAIN_DEADLINE, MAX_SCRAPE_INTERVAL, MIN_DRAIN_DEADLINE,
    MIN_SCRAPE_INTERVAL, SIDECAR_ENV_PREFIX,
};

use crate::identity::Identity;
use crate::push::PushConfig;
use crate::scraper::{AddressError, PortAddress, ScrapeConfig};
use crate::torchserve::METRICS_PATH;

/// The program and its settings.
pub static PROGRAM: Program = Program {
    name: "pushscale-sidecar",
    about: "The sidecar: scrapes TorchServe in its pod and pushes the readings to the aggregator.",
    prefix: SIDECAR_ENV_PREFIX,
    formats: ".toml",
    commands: &[],
    settings: &[SETTINGS, LogSettings::SETTINGS],
};

const SETTINGS: &[Setting] = settings! {
    aggregator, Kind::Text,
        "HOST:PORT of the aggregator's headless Service, or several separated by commas; every address of a name gets \
         every reading";
    pod_namespace, Kind::Text, "`metadata.namespace` of the pod, from the downward API";
    pod_name, Kind::Text, "`metadata.name` of the pod, from the downward API";
    pod_uid, Kind::Text, "`metadata.uid` of the pod, from the downward API";
    scrape_interval = "1s", Kind::Duration(MIN_SCRAPE_INTERVAL, MAX_SCRAPE_INTERVAL),
        "Interval of the scrapes; a drain scrapes ten times per second. With GPUs, up to 15 s, so that descriptions of \
         models that take up to 3 s take a fifth of the time";
    scrape_timeout = "1s", Kind::Duration("10ms", "1m"),
        "Timeout of one request to TorchServe, including the response body; 5 s for the description of a model after \
         one that took longer than half of it";
    metrics_url = "http://127.0.0.1:8082", Kind::Text, "TorchServe's metrics port";
    metrics_path = METRICS_PATH, Kind::Text, "Path of the metrics on that port";
    management_url = "http://127.0.0.1:8081", Kind::Text,
        "TorchServe's management port; with `off` it is not scraped, and queue latency is derived from metrics alone";
    management_token_file = "", Kind::Text, "File with the management token, if TorchServe requires one";
    max_page_bytes = "4194304", Kind::Number(4096, 64 << 20),
        "Maximum size of a response of TorchServe, in bytes; a longer one is invalid";
    push_timeout = "2s", Kind::Duration("10ms", "1m"), "Timeout of one push";
    resolve_interval = "30s", Kind::Duration("10ms", "1h"), "Interval of DNS lookups of the aggregator";
    ca_file = "", Kind::Text,
        "CA certificates that verify the aggregator (PEM), read for each connection; if unset, pushes are plain HTTP; \
         if the file cannot be read, nothing is pushed";
    token_file = "", Kind::Text,
        "Service account token for pushes, with the audience `pushscale`; read every minute and after a rejection";
    listen = "[::]:8492", Kind::Address,
        "Address of `/live`, `/ready`, `/metrics`, `/reading` (the reading to push next) and `/drain`";
    drain_deadline = DRAIN_DEADLINE, Kind::Duration(MIN_DRAIN_DEADLINE, MAX_DRAIN_DEADLINE),
        "Maximum duration of a drain; `terminationGracePeriodSeconds` of the pod must be at least ten seconds longer";
};

/// The sidecar's settings.
#[derive(Clone, Debug)]
pub struct Config {
    /// The log level and format.
    pub log: LogSettings,
    /// The address of `/live`, `/ready`, `/metrics`, `/reading` and `/drain`.
    pub listen: SocketAddr,
    /// The interval of scrapes.
    pub scrape_interval: Duration,
    /// TorchServe's addresses, and limits of its responses.
    pub scrape: ScrapeConfig,
    /// The aggregators, and how to push to them.
    pub push: PushConfig,
    /// The maximum duration of a drain.
    pub drain_deadline: Duration,
    /// The pod and this process.
    pub identity: Identity,
}

impl Config {
    /// Reads the given settings.
    ///
    /// # Errors
    /// All config errors at once.
    pub fn from_settings(mut settings: Settings) -> Result<Self, Vec<ConfigError>> {
        let config = Self {
            log: LogSettings::from_settings(&mut settings),
            listen: settings.address("listen"),
            scrape_interval: settings.duration("scrape_interval"),
            scrape: ScrapeConfig {
                metrics: settings
                    .parse("metrics_url", str::parse::<PortAddress>)
                    .unwrap_or_default(),
                metrics_path: settings
                    .parse("metrics_path", metrics_path)
                    .unwrap_or(PathAndQuery::from_static(METRICS_PATH)),
                management: settings
                    .parse("management_url", management_address)
                    .flatten(),
                management_token_file: settings
                    .optional("management_token_file")
                    .map(PathBuf::from),
                timeout: settings.duration("scrape_timeout"),
                max_bytes: settings.number("max_page_bytes"),
            },
            push: PushConfig {
                aggregators: settings
                    .parse("aggregator", aggregators)
                    .unwrap_or_default(),
                timeout: settings.duration("push_timeout"),
                resolve_interval: settings.duration("resolve_interval"),
                ca_bundle: settings
                    .optional("ca_file")
                    .map(|file| CaBundle::from_file(file.into())),
                token_file: settings.optional("token_file").map(PathBuf::from),
            },
            drain_deadline: settings.duration("drain_deadline"),
            identity: Identity::new(
                settings.text("pod_namespace"),
                settings.text("pod_name"),
                settings.text("pod_uid"),
            ),
        };
        settings.finish(config)
    }
}

fn metrics_path(text: &str) -> Result<PathAndQuery, &'static str> {
    match text.parse() {
        Ok(path) if text.starts_with('/') => Ok(path),
        _ => Err("a path that begins with /"),
    }
}

fn management_address(text: &str) -> Result<Option<PortAddress>, String> {
    if text == "off" {
        return Ok(None);
    }
    text.parse()
        .map(Some)
        .map_err(|expected: AddressError| format!("{expected}, or off"))
}

/// Parses `HOST:PORT`, or several separated by commas.
fn aggregators(text: &str) -> Result<Vec<String>, &'static str> {
    let valid = |name: &str| {
        name.rsplit_once(':').is_some_and(|(host, port)| {
            !host.is_empty() && !host.contains('/') && port.parse::<u16>().is_ok()
        })
    };
    let names: Vec<String> = text.split(',').map(|name| name.trim().to_owned()).collect();
    if names.iter().all(|name| valid(name)) {
        Ok(names)
    } else {
        Err("HOST:PORT of the aggregator's headless Service")
    }
}

#[cfg(test)]
mod tests {
    use pushscale_protocol::{SIDECAR_PORT, TORCHSERVE_MANAGEMENT_PORT, TORCHSERVE_METRICS_PORT};

    use super::*;

    const REQUIRED: [(&str, &str); 4] = [
        (
            "PUSHSCALE_SIDECAR_AGGREGATOR",
            "pushscale.pushscale.svc:8490",
        ),
        ("PUSHSCALE_SIDECAR_POD_NAMESPACE", "models"),
        ("PUSHSCALE_SIDECAR_POD_NAME", "torchserve-0"),
        ("PUSHSCALE_SIDECAR_POD_UID", "u"),
    ];

    fn load(more: &[(&str, &str)]) -> Result<Config, Vec<String>> {
        let pairs = REQUIRED.iter().chain(more).copied();
        Config::from_settings(Settings::from_pairs(&PROGRAM, pairs).unwrap())
            .map_err(|errors| errors.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn four_settings_are_required() {
        let config = load(&[]).unwrap();
        assert_eq!(config.scrape_interval, Duration::from_secs(1));
        let port = |port: u16| format!("http://127.0.0.1:{port}").parse().unwrap();
        assert_eq!(config.scrape.metrics, port(TORCHSERVE_METRICS_PORT));
        assert_eq!(
            config.scrape.management,
            Some(port(TORCHSERVE_MANAGEMENT_PORT))
        );
        assert_eq!(config.listen.port(), SIDECAR_PORT);
    }

    #[test]
    fn the_management_port_can_be_ignored() {
        let config = load(&[("PUSHSCALE_SIDECAR_MANAGEMENT_URL", "off")]).unwrap();
        assert!(config.scrape.management.is_none());
    }

    #[test]
    fn all_config_errors_are_reported_at_once() {
        let errors = load(&[
            ("PUSHSCALE_SIDECAR_AGGREGATOR", "http://there:1/x"),
            ("PUSHSCALE_SIDECAR_METRICS_URL", "https://127.0.0.1:8082"),
            ("PUSHSCALE_SIDECAR_METRICS_PATH", "metrics"),
            ("PUSHSCALE_SIDECAR_SCRAPE_INTERVAL", "1ms"),
            ("PUSHSCALE_SIDECAR_SCRAPE_INTERVALL", "1s"),
        ])
        .unwrap_err();
        assert_eq!(errors.len(), 5, "{errors:?}");
    }
}
