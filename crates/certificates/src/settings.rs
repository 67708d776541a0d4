//! Where certificates come from, and whom the CA is made known to.

use std::path::PathBuf;
use std::time::Duration;

use pushscale_daemon::config::Settings;

const HOUR: Duration = Duration::from_secs(3600);
const SECOND: Duration = Duration::from_secs(1);

/// The settings of certificates.
#[derive(Clone, Debug)]
pub struct CertificateSettings {
    /// Where they come from.
    pub source: Source,
    /// The CA is published in this namespace only; `None`: in all.
    pub namespace: Option<String>,
    /// The ClusterRole that owns all that is written, so that it goes with it; `None`: nobody does.
    pub owner: Option<String>,
    /// The MutatingWebhookConfiguration whose `caBundle` is kept; `None`: none.
    pub webhook: Option<String>,
}

/// Where certificates come from.
#[derive(Clone, Debug)]
pub enum Source {
    /// Made here.
    SelfSigned(SelfSigned),
    /// `tls.crt`, `tls.key` and `ca.crt` in this folder, which somebody else renews.
    Directory(PathBuf),
}

/// What is made here.
#[derive(Clone, Debug)]
pub struct SelfSigned {
    /// Where the Secrets are, and the Services.
    pub own_namespace: String,
    /// The aggregator's Service.
    pub service: String,
    /// The injector's Service, if there is an injector.
    pub injector_service: Option<String>,
    /// How long what is made lives.
    pub lifetimes: Lifetimes,
}

/// How long what is made here lives. All is renewed when two thirds of it are over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetimes {
    /// Of a CA.
    pub authority: Duration,
    /// Of a server's certificate.
    pub server: Duration,
    /// From the publishing of a new CA to its first signature.
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

impl CertificateSettings {
    /// Takes all keys of certificates; `None` if TLS is off.
    pub fn from_settings(settings: &mut Settings, namespace: Option<&str>) -> Option<Self> {
        let mode = settings.text("tls_mode", "disabled");
        let directory = settings.text("tls_dir", "/etc/pushscale/tls");
        let own = SelfSigned {
            own_namespace: settings.text("pod_namespace", ""),
            service: settings.text("service", "pushscale-aggregator"),
            injector_service: given(settings, "injector_service", ""),
            lifetimes: Lifetimes::from_settings(settings),
        };
        let owner = given(settings, "owner", "pushscale-aggregator");
        let webhook = given(settings, "webhook", "");
        let source = match mode.as_str() {
            "disabled" => return None,
            "files" => Source::Directory(directory.into()),
            "self-signed" => {
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
            other => {
                let problem = format!("is {other:?}: it must be disabled, self-signed or files");
                settings.add_error("tls_mode", problem);
                return None;
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
        let default = Self::default();
        let most = default.authority * 10;
        let found = Self {
            authority: settings.duration("ca_lifetime", default.authority, SECOND, most),
            server: settings.duration("certificate_lifetime", default.server, SECOND, most),
            grace: settings.duration("ca_grace", default.grace, SECOND, most),
        };
        // A CA is renewed with a third of its life left. In that time its successor becomes known, and the last
        // certificate that it signed runs out.
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

fn given(settings: &mut Settings, key: &str, default: &str) -> Option<String> {
    Some(settings.text(key, default)).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<Option<CertificateSettings>, Vec<String>> {
        let mut settings = Settings::from_pairs("P", pairs.iter().copied()).unwrap();
        let found = CertificateSettings::from_settings(&mut settings, None);
        settings
            .finish(found)
            .map_err(|all| all.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn all_mistakes_are_told_at_once() {
        let told = read(&[
            ("P_TLS_MODE", "self-signed"),
            ("P_SERVICE", ""),
            ("P_CERTIFICATE_LIFETIME", "300h"),
            ("P_CA_LIFETIME", "902h"),
        ])
        .unwrap_err();
        assert_eq!(
            told,
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
    fn off_unless_asked_for() {
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
