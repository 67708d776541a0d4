//! The injector's settings.

use std::net::SocketAddr;
use std::path::PathBuf;

use pushscale_daemon::config::{ConfigError, Settings};
use pushscale_daemon::logging::LogFilter;
use pushscale_protocol::{AGGREGATOR_PUSH_PORT, INJECTOR_ADMIN_PORT, INJECTOR_PORT};

use crate::facts::{Auth, PullPolicy, Sidecar};
use crate::inject::VERSION;

/// The prefix of the injector's environment variables.
pub const PREFIX: &str = "PUSHSCALE_INJECTOR";

/// The injector's settings.
#[derive(Clone, Debug)]
pub struct Config {
    /// The log filter.
    pub log: LogFilter,
    /// The address of the webhook.
    pub listen: SocketAddr,
    /// The address of `/live`, `/ready` and `/metrics`.
    pub admin_listen: SocketAddr,
    /// The directory with `tls.crt` and `tls.key`.
    pub tls_dir: PathBuf,
    /// Whether the cluster has native sidecars; `None` to derive it from the cluster's version.
    pub native_sidecar: Option<bool>,
    /// The settings of every sidecar.
    pub sidecar: Sidecar,
}

impl Config {
    /// Reads the settings from the environment.
    ///
    /// # Errors
    ///
    /// Returns all config errors at once.
    pub fn load() -> Result<Self, Vec<ConfigError>> {
        Self::from_settings(Settings::from_environment(PREFIX)?)
    }

    /// Reads the given settings.
    ///
    /// # Errors
    ///
    /// Returns all config errors at once.
    pub fn from_settings(mut settings: Settings) -> Result<Self, Vec<ConfigError>> {
        let any = |port| SocketAddr::from(([0, 0, 0, 0], port));
        let config = Self {
            log: LogFilter::from_settings(&mut settings),
            listen: settings.address("listen", any(INJECTOR_PORT)),
            admin_listen: settings.address("admin_listen", any(INJECTOR_ADMIN_PORT)),
            tls_dir: settings.text("tls_dir", "/etc/pushscale/tls").into(),
            native_sidecar: word(
                &mut settings,
                "native_sidecar",
                "auto",
                "auto, true or false",
                |word| match word {
                    "auto" => Some(None),
                    "true" => Some(Some(true)),
                    "false" => Some(Some(false)),
                    _ => None,
                },
            )
            .flatten(),
            sidecar: sidecar(&mut settings),
        };
        settings.finish(config)
    }
}

fn sidecar(settings: &mut Settings) -> Sidecar {
    let policies = "Always, IfNotPresent or Never";
    Sidecar {
        image: image(settings),
        pull_policy: word(
            settings,
            "sidecar_image_pull_policy",
            "IfNotPresent",
            policies,
            |word| word.parse().ok(),
        )
        .unwrap_or(PullPolicy::IfNotPresent),
        aggregator: aggregator(settings),
        auth: word(settings, "auth", "token", "token or none", |word| {
            word.parse().ok()
        })
        .unwrap_or(Auth::Token),
        own_namespace: Some(settings.text("pod_namespace", "")).filter(|name| !name.is_empty()),
    }
}

fn image(settings: &mut Settings) -> String {
    let image = settings.text("sidecar_image", &format!("pushscale/sidecar:{VERSION}"));
    if let Err(expected) = crate::annotation::check_image(&image) {
        settings.add_error(
            "sidecar_image",
            format!("is {image:?}: it must be {expected}"),
        );
    }
    image
}

/// Validates the address here, since otherwise every sidecar would fail with an invalid one.
fn aggregator(settings: &mut Settings) -> String {
    // The final dot avoids queries for the pod's DNS search domains.
    let default =
        format!("pushscale-aggregator.pushscale.svc.cluster.local.:{AGGREGATOR_PUSH_PORT}");
    let text = settings.text("aggregator", &default);
    if let Err(expected) = check_aggregator(&text) {
        settings.add_error("aggregator", format!("is {text:?}: it must be {expected}"));
    }
    text
}

/// Checks the aggregator's address: `HOST:PORT`, or several separated by commas.
///
/// # Errors
///
/// Returns a description of valid addresses if it is not one.
pub fn check_aggregator(text: &str) -> Result<(), &'static str> {
    let good = |name: &str| {
        name.rsplit_once(':').is_some_and(|(host, port)| {
            let valid = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte);
            !host.is_empty() && host.bytes().all(valid) && port.parse::<u16>().is_ok()
        })
    };
    if text.split(',').all(good) {
        Ok(())
    } else {
        Err("HOST:PORT of the aggregator's headless Service")
    }
}

fn word<T>(
    settings: &mut Settings,
    key: &str,
    default: &str,
    expected: &str,
    read: impl FnOnce(&str) -> Option<T>,
) -> Option<T> {
    let text = settings.text(key, default);
    let found = read(&text);
    if found.is_none() {
        settings.add_error(key, format!("is {text:?}: it must be {expected}"));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(pairs: &[(&str, &str)]) -> Result<Config, Vec<String>> {
        let settings = Settings::from_pairs(PREFIX, pairs.iter().copied()).unwrap();
        Config::from_settings(settings)
            .map_err(|errors| errors.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn the_defaults_match_the_chart() {
        let config = load(&[]).unwrap();
        assert_eq!(config.native_sidecar, None);
        assert_eq!(config.sidecar.auth, Auth::Token);
        assert_eq!(config.sidecar.image, format!("pushscale/sidecar:{VERSION}"));
    }

    #[test]
    fn all_config_errors_are_reported_at_once() {
        let errors = load(&[
            ("PUSHSCALE_INJECTOR_NATIVE_SIDECAR", "yes"),
            ("PUSHSCALE_INJECTOR_AUTH", "some"),
            ("PUSHSCALE_INJECTOR_SIDECAR_IMAGE", "Side Car"),
            ("PUSHSCALE_INJECTOR_SIDECAR_IMAGE_PULL_POLICY", "never"),
            ("PUSHSCALE_INJECTOR_AGGREGATOR", "http://there:8490/"),
        ])
        .unwrap_err();
        assert_eq!(errors.len(), 5, "{errors:?}");
    }
}
