//! Metrics of the certificates.

use std::time::SystemTime;

use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use pushscale_daemon::labeled_counter::{LabeledCounter, label_value};
use pushscale_daemon::registration::Registration;

/// The metrics of the certificates. Clones share their counts.
#[derive(Clone, Debug)]
pub(crate) struct CertificateMetrics {
    expiry: Family<[(&'static str, String); 1], Gauge>,
    pub(crate) renewals: LabeledCounter<Subject>,
    pub(crate) failures: LabeledCounter<Failure>,
}

/// The holder of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Subject {
    Ca,
    Aggregator,
    Injector,
    ExternalMetrics,
}

/// What failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Failure {
    /// The Secrets could not be read or written, or a certificate could not be issued.
    Controller,
    /// The content of a Secret was unusable and was replaced.
    InvalidSecret,
    /// The files in `TLS_DIR` are unusable.
    Files,
    /// A namespace did not get the CA.
    Publish,
    /// The webhook configuration did not get the CA.
    Webhook,
    /// The APIService did not get the CA.
    ApiService,
}

impl CertificateMetrics {
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let mut all = Registration::new(registry, "pushscale_certificates");
        Self {
            expiry: all.add(
                "expiry_timestamp_seconds",
                "Expiry of a certificate, as a Unix timestamp",
            ),
            renewals: all.labeled("renewals", "certificate", "Certificates issued"),
            failures: all
                .labeled(
                    "failures",
                    "failure",
                    "Failures to issue, read or publish certificates",
                )
                .from_zero([Failure::Publish, Failure::Webhook, Failure::ApiService]),
        }
    }

    pub(crate) fn expires(&self, certificate: Subject, at: SystemTime) {
        let since = at.duration_since(SystemTime::UNIX_EPOCH);
        let seconds = since.unwrap_or_default().as_secs();
        self.expiry
            .get_or_create(&[("certificate", label_value(&certificate))])
            .set(i64::try_from(seconds).unwrap_or(i64::MAX));
    }

    /// Returns the expiry of a certificate in seconds, and 0 if none was exported.
    #[cfg(test)]
    pub(crate) fn expiry(&self, certificate: Subject) -> i64 {
        let labels = [("certificate", label_value(&certificate))];
        self.expiry.get_or_create(&labels).get()
    }
}

#[cfg(test)]
impl Default for CertificateMetrics {
    fn default() -> Self {
        Self::register(&mut Registry::default())
    }
}
