//! Settings: the source of the certificates, and where the CA is published.

use std::path::PathBuf;
use std::time::Duration;

use pushscale_daemon::config::{Kind, Setting, Settings};
use pushscale_protocol::TLS_DIR;

const HOUR: Duration = Duration::from_secs(3600);

/// The settings of certificates.
#[derive(Clone, Debug)]
pub struct CertificateSettings {
    /// The source of the certificates.
    pub source: Source,
    /// The only namespace in which the CA is published; `None` for all namespaces.
    pub namespace: Option<String>,
    /// The ClusterRole that owns everything that is written; `None` if nothing does.
    pub owner: Option<String>,
    /// The MutatingWebhookConfiguration whose `caBundle` is kept up to date, if any.
    pub webhook: Option<String>,
}

/// The source of the certificates.
#[derive(Clone, Debug)]
pub enum Source {
    /// Issued here.
    SelfSigned(SelfSigned),
    /// `tls.crt`, `tls.key` and `ca.crt` in this directory, which another tool renews.
    Directory(PathBuf),
}

/// The settings of certificates that are issued here.
#[derive(Clone, Debug)]
pub struct SelfSigned {
    /// The namespace of the Secrets and the Services.
    pub own_namespace: String,
    /// The aggregator's Service.
    pub service: String,
    /// The injector's Service, if there is an injector.
    pub injector_service: Option<String>,
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
    /// The time from publishing a new CA to its first signature.
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

/// The longest lifetime: ten years.
const MAX_LIFETIME: &str = "87600h";

#[derive(Clone, Copy)]
enum Mode {
    Disabled,
    SelfSigned,
    Files,
}

impl CertificateSettings {
    /// The settings that [`from_settings`](Self::from_settings) reads.
    pub const SETTINGS: &[Setting] = &[
        Setting {
            key: "tls_mode",
            default: Some("disabled"),
            kind: Kind::OneOf(&["disabled", "self-signed", "files"]),
            description: "`self-signed`: certificates are issued and renewed here; `files`: they are read from \
                          `TLS_DIR`; in both modes the CA is published \
                          ([SECURITY.md](SECURITY.md#certificates))",
        },
        Setting {
            key: "tls_dir",
            default: Some(TLS_DIR),
            kind: Kind::Text,
            description: "With `files`: the directory of `tls.crt`, `tls.key` and `ca.crt`, read every 10 s",
        },
        Setting {
            key: "pod_namespace",
            default: Some(""),
            kind: Kind::Text,
            description: "Namespace of the Secrets and Services, from the downward API; required with `self-signed`",
        },
        Setting {
            key: "service",
            default: Some("pushscale-aggregator"),
            kind: Kind::Text,
            description: "The aggregator's Service, which the certificate names",
        },
        Setting {
            key: "injector_service",
            default: Some(""),
            kind: Kind::Text,
            description: "The injector's Service; if set, the injector gets a certificate",
        },
        Setting {
            key: "webhook",
            default: Some(""),
            kind: Kind::Text,
            description: "The MutatingWebhookConfiguration whose `caBundle` is kept up to date",
        },
        Setting {
            key: "owner",
            default: Some("pushscale-aggregator"),
            kind: Kind::Text,
            description: "The ClusterRole that owns all written objects, which are deleted with it; empty: no owner",
        },
        Setting {
            key: "ca_lifetime",
            default: Some("8760h"),
            kind: Kind::Duration("1s", MAX_LIFETIME),
            description: "Lifetime of a CA, renewed after two thirds; at least three times `CERTIFICATE_LIFETIME` and \
                          `CA_GRACE` together",
        },
        Setting {
            key: "certificate_lifetime",
            default: Some("720h"),
            kind: Kind::Duration("1s", MAX_LIFETIME),
            description: "Lifetime of a server's certificate, renewed after two thirds",
        },
        Setting {
            key: "ca_grace",
            default: Some("1h"),
            kind: Kind::Duration("1s", MAX_LIFETIME),
            description: "Time from publishing a new CA to its first signature",
        },
    ];

    /// Reads the settings of certificates; `None` if TLS is disabled.
    pub fn from_settings(settings: &mut Settings, namespace: Option<&str>) -> Option<Self> {
        let modes = [
            ("disabled", Mode::Disabled),
            ("self-signed", Mode::SelfSigned),
            ("files", Mode::Files),
        ];
        let mode = settings.one_of("tls_mode", &modes);
        let directory = settings.text("tls_dir");
        let own = SelfSigned {
            own_namespace: settings.text("pod_namespace"),
            service: settings.text("service"),
            injector_service: settings.optional("injector_service"),
            lifetimes: Lifetimes::from_settings(settings),
        };
        let owner = settings.optional("owner");
        let webhook = settings.optional("webhook");
        let source = match mode? {
            Mode::Disabled => return None,
            Mode::Files => Source::Directory(directory.into()),
            Mode::SelfSigned => {
                if own.own_namespace.is_empty() {
                    let problem =
                        "is missing: with TLS_MODE=self-signed it must be the pod's namespace";
                    settings.add_error("pod_namespace", problem.to_owned());
                }
                if own.service.is_empty() {
                    let problem = "is empty: it must be the name of the aggregator's Service";
                    settings.add_error("service", problem.to_owned());
                }
                Source::SelfSigned(own)
            }
        };
        Some(Self {
            source,
            namespace: namespace.map(str::to_owned),
            owner,
            webhook,
        })
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
    use pushscale_daemon::config::Program;

    use super::*;

    static PROGRAM: Program = Program {
        name: "test",
        about: "",
        prefix: "P",
        formats: ".toml",
        commands: &[],
        settings: &[CertificateSettings::SETTINGS],
    };

    fn read(pairs: &[(&str, &str)]) -> Result<Option<CertificateSettings>, Vec<String>> {
        let mut settings = Settings::from_pairs(&PROGRAM, pairs.iter().copied()).unwrap();
        let found = CertificateSettings::from_settings(&mut settings, None);
        settings
            .finish(found)
            .map_err(|all| all.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn all_config_errors_are_reported_at_once() {
        let errors = read(&[
            ("P_TLS_MODE", "self-signed"),
            ("P_SERVICE", ""),
            ("P_CERTIFICATE_LIFETIME", "300h"),
            ("P_CA_LIFETIME", "902h"),
        ])
        .unwrap_err();
        assert_eq!(
            errors,
            [
                "P_CA_LIFETIME: is 3247200s: it must be at least three times CERTIFICATE_LIFETIME and CA_GRACE together, 3250800s",
                "P_POD_NAMESPACE: is missing: with TLS_MODE=self-signed it must be the pod's namespace",
                "P_SERVICE: is empty: it must be the name of the aggregator's Service",
            ]
        );
        assert_eq!(
            read(&[("P_TLS_MODE", "on")]).unwrap_err(),
            ["P_TLS_MODE: is \"on\": it must be disabled, self-signed or files"]
        );
    }

    #[test]
    fn tls_is_disabled_by_default() {
        assert!(read(&[]).unwrap().is_none());
        let own = [("P_TLS_MODE", "self-signed"), ("P_POD_NAMESPACE", "n")];
        let found = read(&own).unwrap().unwrap();
        let Source::SelfSigned(own) = found.source else {
            panic!("{found:?}");
        };
        assert_eq!(own.lifetimes, Lifetimes::default());
        assert_eq!(found.owner.as_deref(), Some("pushscale-aggregator"));
    }
}
