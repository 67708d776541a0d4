//! The settings of `pushscale-certificates`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use pushscale_daemon::config::{ConfigError, Kind, Program, Setting, Settings};
use pushscale_daemon::logging::LogSettings;
use pushscale_daemon::settings;
use pushscale_protocol::TLS_DIR;

const HOUR: Duration = Duration::from_secs(3600);

/// The longest lifetime: ten years.
const MAX_LIFETIME: &str = "87600h";

/// The program and its settings.
pub static PROGRAM: Program = Program {
    name: "pushscale-certificates",
    about: "Issues and renews the certificates of the aggregator and the injector, and publishes their CA.",
    prefix: "PUSHSCALE_CERTIFICATES",
    formats: ".toml, .yaml or .yml",
    commands: &[],
    settings: &[SETTINGS, LogSettings::SETTINGS],
};

const SETTINGS: &[Setting] = settings! {
    admin_listen = "[::]:8495", Kind::Address, "Address of `/live`, `/ready` and `/metrics`";
    tls_mode = "self-signed", Kind::OneOf(&["self-signed", "files"]),
        "`self-signed`: certificates are issued and renewed here; `files`: another tool renews them; in both modes the \
         CA is published (docs/SECURITY.md)";
    tls_dir = TLS_DIR, Kind::Text,
        "With `files`: the directory of `ca.crt` and of the aggregator's `tls.crt`, read every 10 s; no key is needed";
    pod_namespace = "", Kind::Text,
        "Namespace of the Secrets and Services, from the downward API; required with `self-signed`";
    watch_namespace = "", Kind::Text, "The only namespace in which the CA is published; without it, in all";
    aggregator_service = "pushscale-aggregator", Kind::Text, "The aggregator's Service, which its certificate names";
    injector_service = "", Kind::Text, "The injector's Service; if set, the injector gets a certificate";
    external_metrics_service = "", Kind::Text, "The Service of the external metrics; if set, they get a certificate";
    webhook = "", Kind::Text, "The MutatingWebhookConfiguration whose `caBundle` is kept up to date";
    api_service = "", Kind::Text,
        "The APIService whose `caBundle` is kept up to date, as long as it refers to `EXTERNAL_METRICS_SERVICE` in \
         `POD_NAMESPACE`";
    owner = "pushscale-certificates", Kind::Text,
        "The ClusterRole that owns all written objects, which are deleted with it; empty: no owner";
    ca_lifetime = "8760h", Kind::Duration("1s", MAX_LIFETIME),
        "Lifetime of a CA, renewed after two thirds; at least three times `CERTIFICATE_LIFETIME` and `CA_GRACE` \
         together";
    certificate_lifetime = "720h", Kind::Duration("1s", MAX_LIFETIME),
        "Lifetime of a server's certificate, renewed after two thirds";
    ca_grace = "1h", Kind::Duration("1s", MAX_LIFETIME),
        "Time from the publication of a new CA in every namespace to its first signature";
};

/// The settings.
#[derive(Clone, Debug)]
pub struct Config {
    /// The log level and format.
    pub log: LogSettings,
    /// The address of `/live`, `/ready` and `/metrics`.
    pub admin_listen: SocketAddr,
    /// The source of the certificates.
    pub source: Source,
    /// The only namespace in which the CA is published; `None` for all namespaces.
    pub namespace: Option<String>,
    /// The ClusterRole that owns everything that is written; `None` if nothing does.
    pub owner: Option<String>,
    /// The MutatingWebhookConfiguration whose `caBundle` is kept up to date, if any.
    pub webhook: Option<String>,
    /// The APIService whose `caBundle` is kept up to date, if any.
    pub api_service: Option<ApiServiceSettings>,
}

/// An APIService, and the Service that it refers to while it is ours.
#[derive(Clone, Debug)]
pub struct ApiServiceSettings {
    /// `metadata.name` of the APIService.
    pub name: String,
    /// The Service's namespace.
    pub namespace: String,
    /// The Service's name.
    pub service: String,
}

/// The source of the certificates.
#[derive(Clone, Debug)]
pub enum Source {
    /// Issued here.
    SelfSigned(SelfSigned),
    /// Another tool renews them; `ca.crt` and `tls.crt` are in this directory.
    Directory(PathBuf),
}

/// The settings of certificates that are issued here.
#[derive(Clone, Debug)]
pub struct SelfSigned {
    /// The namespace of the Secrets and the Services.
    pub own_namespace: String,
    /// The aggregator's Service.
    pub aggregator_service: String,
    /// The injector's Service, if there is an injector.
    pub injector_service: Option<String>,
    /// The Service of the external metrics, if they are served.
    pub external_metrics_service: Option<String>,
    /// The lifetimes of the certificates.
    pub lifetimes: Lifetimes,
}

/// The lifetimes of certificates. They are renewed after two thirds of the lifetime.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetimes {
    /// The lifetime of a CA.
    pub authority: Duration,
    /// The lifetime of a server's certificate.
    pub server: Duration,
    /// The time from the publication of a new CA in every namespace to its first signature.
    pub grace: Duration,
}

impl Default for Lifetimes {
    fn default() -> Self {
        Self {
            authority: HOUR * 24 * 365,
            server: HOUR * 24 * 30,
            grace: HOUR,
        }
    }
}

#[derive(Clone, Copy)]
enum Mode {
    SelfSigned,
    Files,
}

impl Config {
    /// Reads the given settings.
    ///
    /// # Errors
    ///
    /// Returns all config errors at once.
    pub fn from_settings(mut settings: Settings) -> Result<Self, Vec<ConfigError>> {
        let config = Self {
            log: LogSettings::from_settings(&mut settings),
            admin_listen: settings.address("admin_listen"),
            source: Source::from_settings(&mut settings),
            namespace: settings.optional("watch_namespace"),
            owner: settings.optional("owner"),
            webhook: settings.optional("webhook"),
            api_service: api_service(&mut settings),
        };
        settings.finish(config)
    }
}

fn api_service(settings: &mut Settings) -> Option<ApiServiceSettings> {
    let found = ApiServiceSettings {
        name: settings.optional("api_service")?,
        namespace: settings.text("pod_namespace"),
        service: settings.text("external_metrics_service"),
    };
    for (key, value) in [
        ("pod_namespace", &found.namespace),
        ("external_metrics_service", &found.service),
    ] {
        if value.is_empty() {
            settings.add_error(key, "is required with API_SERVICE".to_owned());
        }
    }
    Some(found)
}

impl Source {
    fn from_settings(settings: &mut Settings) -> Self {
        let modes = [("self-signed", Mode::SelfSigned), ("files", Mode::Files)];
        let mode = settings.one_of("tls_mode", &modes);
        let directory = settings.text("tls_dir");
        let own = SelfSigned {
            own_namespace: settings.text("pod_namespace"),
            aggregator_service: settings.text("aggregator_service"),
            injector_service: settings.optional("injector_service"),
            external_metrics_service: settings.optional("external_metrics_service"),
            lifetimes: Lifetimes::from_settings(settings),
        };
        match mode {
            Some(Mode::SelfSigned) => {
                if own.own_namespace.is_empty() {
                    let problem =
                        "is missing: with TLS_MODE=self-signed it must be the pod's namespace";
                    settings.add_error("pod_namespace", problem.to_owned());
                }
                if own.aggregator_service.is_empty() {
                    let problem = "is empty: it must be the name of the aggregator's Service";
                    settings.add_error("aggregator_service", problem.to_owned());
                }
                Self::SelfSigned(own)
            }
            // An invalid mode is an error already.
            Some(Mode::Files) | None => Self::Directory(directory.into()),
        }
    }
}

impl Lifetimes {
    fn from_settings(settings: &mut Settings) -> Self {
        let found = Self {
            authority: settings.duration("ca_lifetime"),
            server: settings.duration("certificate_lifetime"),
            grace: settings.duration("ca_grace"),
        };
        // A CA is renewed when a third of its lifetime is left. Within that time, its successor is published and the
        // last certificate that it signed expires.
        let needed = found.grace.saturating_add(found.server);
        if needed > found.authority / 3 {
            let problem = format!(
                "is {:?}: it must be at least three times CERTIFICATE_LIFETIME and CA_GRACE together, {:?}",
                found.authority,
                needed.saturating_mul(3)
            );
            settings.add_error("ca_lifetime", problem);
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use pushscale_protocol::CERTIFICATES_ADMIN_PORT;

    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<Config, Vec<String>> {
        let pairs = pairs
            .iter()
            .map(|(key, value)| (PROGRAM.variable(key), *value));
        let pairs: Vec<_> = pairs.collect();
        let pairs = pairs.iter().map(|(name, value)| (name.as_str(), *value));
        let settings = Settings::from_pairs(&PROGRAM, pairs).unwrap();
        Config::from_settings(settings).map_err(|all| all.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn all_config_errors_are_reported_at_once() {
        let errors = read(&[
            ("tls_mode", "self-signed"),
            ("aggregator_service", ""),
            ("certificate_lifetime", "300h"),
            ("ca_lifetime", "902h"),
        ])
        .unwrap_err();
        assert_eq!(
            errors,
            [
                "PUSHSCALE_CERTIFICATES_CA_LIFETIME: is 3247200s: it must be at least three times CERTIFICATE_LIFETIME and CA_GRACE together, 3250800s",
                "PUSHSCALE_CERTIFICATES_POD_NAMESPACE: is missing: with TLS_MODE=self-signed it must be the pod's namespace",
                "PUSHSCALE_CERTIFICATES_AGGREGATOR_SERVICE: is empty: it must be the name of the aggregator's Service",
            ]
        );
        assert_eq!(
            read(&[("tls_mode", "on")]).unwrap_err(),
            ["PUSHSCALE_CERTIFICATES_TLS_MODE: is \"on\": it must be self-signed or files"]
        );
    }

    #[test]
    fn certificates_are_issued_here_by_default() {
        let config = read(&[("pod_namespace", "n")]).unwrap();
        assert_eq!(config.admin_listen.port(), CERTIFICATES_ADMIN_PORT);
        let Source::SelfSigned(own) = config.source else {
            panic!("{config:?}");
        };
        assert_eq!(own.lifetimes, Lifetimes::default());
        assert_eq!(config.owner.as_deref(), Some("pushscale-certificates"));
    }

    #[test]
    fn files_need_no_namespace() {
        let config = read(&[("tls_mode", "files")]).unwrap();
        assert!(
            matches!(&config.source, Source::Directory(path) if path.ends_with("tls")),
            "{config:?}"
        );
    }
}
