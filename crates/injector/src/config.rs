//! The injector's settings.

use std::net::SocketAddr;
use std::path::PathBuf;

use pushscale_daemon::config::{ConfigError, Kind, Program, Setting, Settings};
use pushscale_daemon::logging::LogSettings;
use pushscale_daemon::settings;
use pushscale_protocol::TLS_DIR;

use crate::annotation::check_image;
use crate::facts::{Auth, PullPolicy, Sidecar};

/// The program and its settings.
pub static PROGRAM: Program = Program {
    name: "pushscale-injector",
    about: "The injector: a webhook that adds the sidecar to new pods.",
    prefix: "PUSHSCALE_INJECTOR",
    formats: ".toml, .yaml or .yml",
    commands: &[],
    settings: &[SETTINGS, LogSettings::SETTINGS],
};

const SETTINGS: &[Setting] = settings! {
    listen = "[::]:8493", Kind::Address,
        "Address of the webhook, over TLS: `POST /inject`, AdmissionReview v1, up to 3 MiB";
    admin_listen = "[::]:8494", Kind::Address, "Address of `/live`, `/ready` and `/metrics`";
    tls_dir = TLS_DIR, Kind::Text, "Directory of `tls.crt` and `tls.key`, read every 10 s";
    pod_namespace = "", Kind::Text, "Pushscale's own namespace, whose pods get no sidecar; from the downward API";
    sidecar_image = concat!("pushscale/sidecar:", env!("CARGO_PKG_VERSION")), Kind::Text, "Image of the sidecar";
    sidecar_image_pull_policy = "IfNotPresent", Kind::OneOf(&["Always", "IfNotPresent", "Never"]),
        "When the image is pulled";
    // The final dot avoids queries for the pod's DNS search domains.
    aggregator = "pushscale-aggregator.pushscale.svc.cluster.local.:8490", Kind::Text,
        "HOST:PORT of the aggregator's headless Service, for the sidecars; or several separated by commas";
    native_sidecar = "auto", Kind::OneOf(&["auto", "true", "false"]),
        "`true`: the sidecar is a restartable init container (Kubernetes 1.29 and later); `false`: an ordinary \
         container; `auto`: by the cluster's version, and the injector is not ready until the API server has reported \
         it";
    auth = "token", Kind::OneOf(&["token", "none"]),
        "`token`: sidecars send a token of their pod over TLS; `none`: plain HTTP, for an aggregator with `AUTH=none` \
         and `TLS_MODE=disabled`";
};

/// The injector's settings.
#[derive(Clone, Debug)]
pub struct Config {
    /// The log level and format.
    pub log: LogSettings,
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
    /// Reads the given settings.
    ///
    /// # Errors
    ///
    /// Returns all config errors at once.
    pub fn from_settings(mut settings: Settings) -> Result<Self, Vec<ConfigError>> {
        let native = [("auto", None), ("true", Some(true)), ("false", Some(false))];
        let config = Self {
            log: LogSettings::from_settings(&mut settings),
            listen: settings.address("listen"),
            admin_listen: settings.address("admin_listen"),
            tls_dir: settings.text("tls_dir").into(),
            native_sidecar: settings.one_of("native_sidecar", &native).flatten(),
            sidecar: sidecar(&mut settings),
        };
        settings.finish(config)
    }
}

fn sidecar(settings: &mut Settings) -> Sidecar {
    let policies = [
        PullPolicy::Always,
        PullPolicy::IfNotPresent,
        PullPolicy::Never,
    ]
    .map(|policy| (policy.as_str(), policy));
    let auth = [("token", Auth::Token), ("none", Auth::None)];
    let image = |text: &str| check_image(text).map(|()| text.to_owned());
    // Validated here, since otherwise every sidecar would fail with an invalid address.
    let aggregator = |text: &str| check_aggregator(text).map(|()| text.to_owned());
    Sidecar {
        image: settings.parse("sidecar_image", image).unwrap_or_default(),
        pull_policy: settings
            .one_of("sidecar_image_pull_policy", &policies)
            .unwrap_or(PullPolicy::IfNotPresent),
        aggregator: settings.parse("aggregator", aggregator).unwrap_or_default(),
        auth: settings.one_of("auth", &auth).unwrap_or(Auth::Token),
        own_namespace: settings.optional("pod_namespace"),
    }
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

#[cfg(test)]
mod tests {
    use pushscale_protocol::{AGGREGATOR_PUSH_PORT, INJECTOR_ADMIN_PORT, INJECTOR_PORT};

    use super::*;
    use crate::inject::VERSION;

    fn load(pairs: &[(&str, &str)]) -> Result<Config, Vec<String>> {
        let settings = Settings::from_pairs(&PROGRAM, pairs.iter().copied()).unwrap();
        Config::from_settings(settings)
            .map_err(|errors| errors.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn the_defaults_match_the_chart() {
        let config = load(&[]).unwrap();
        assert_eq!(config.listen.port(), INJECTOR_PORT);
        assert_eq!(config.admin_listen.port(), INJECTOR_ADMIN_PORT);
        let port = format!(":{AGGREGATOR_PUSH_PORT}");
        assert!(config.sidecar.aggregator.ends_with(&port));
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
