//! What is counted about certificates.

use std::time::SystemTime;

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::held::Server;

/// Cloned freely; all clones count together.
#[derive(Clone, Debug, Default)]
pub(crate) struct CertificateMetrics {
    expiry: Family<CertificateLabels, Gauge>,
    renewals: Family<CertificateLabels, Counter>,
    failures: Family<FailureLabels, Counter>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CertificateLabels {
    certificate: Which,
}

/// A certificate that is looked after.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
pub(super) enum Which {
    Authority,
    Aggregator,
    Injector,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FailureLabels {
    failure: Failure,
}

/// What did not succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
pub(super) enum Failure {
    /// The Secrets could not be read or written, or nothing could be made.
    Keep,
    /// What a Secret held was of no use and was made anew.
    Unusable,
    /// The folder's files are of no use.
    Folder,
    /// A namespace did not get the CA.
    Publish,
    /// The webhook did not get the CA.
    Webhook,
}

impl CertificateMetrics {
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register(
            "certificate_expiry_timestamp_seconds",
            "When a certificate runs out, in seconds since 1970",
            metrics.expiry.clone(),
        );
        registry.register(
            "certificate_renewals",
            "Certificates made here",
            metrics.renewals.clone(),
        );
        registry.register(
            "certificate_failures",
            "What did not succeed about certificates",
            metrics.failures.clone(),
        );
        metrics
    }

    pub(super) fn ends(&self, certificate: Which, at: SystemTime) {
        let since = at.duration_since(SystemTime::UNIX_EPOCH);
        let seconds = since.unwrap_or_default().as_secs();
        self.expiry
            .get_or_create(&CertificateLabels { certificate })
            .set(i64::try_from(seconds).unwrap_or(i64::MAX));
    }

    pub(super) fn made(&self, certificate: Which) {
        self.renewals
            .get_or_create(&CertificateLabels { certificate })
            .inc();
    }

    pub(super) fn failed(&self, failure: Failure) {
        self.failures
            .get_or_create(&FailureLabels { failure })
            .inc();
    }
}

impl From<Server> for Which {
    fn from(server: Server) -> Self {
        match server {
            Server::Aggregator => Self::Aggregator,
            Server::Injector => Self::Injector,
        }
    }
}
