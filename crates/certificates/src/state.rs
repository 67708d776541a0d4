//! The content of the Secrets, parsed as far as possible.

use std::time::SystemTime;

use rcgen::KeyPair;

use crate::certificate::{Certificate, InvalidCertificate};
use crate::metrics::{CertificateMetrics, Subject};

/// A CA, with its key if it may sign.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Authority {
    pub(crate) certificate: Certificate,
    pub(crate) key_pem: Option<String>,
}

/// The Secret of the CAs. `ca.crt` has their certificates, the signing one first; `ca.key` has the keys of those that
/// sign or will sign, in any order.
pub(crate) struct AuthorityState {
    pub(crate) all: Vec<Authority>,
    /// What is invalid in the Secret.
    pub(crate) problem: Option<InvalidCertificate>,
    pub(crate) stored: AuthorityPem,
}

/// `ca.crt` and `ca.key`.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct AuthorityPem {
    pub(crate) certificates: String,
    pub(crate) keys: String,
}

/// The Secret of one server.
pub(crate) struct ServerState {
    pub(crate) server: Server,
    /// The DNS names that the certificate must have.
    pub(crate) names: Vec<String>,
    /// The certificate, if it matches its key.
    pub(crate) pair: Result<Certificate, InvalidCertificate>,
    /// `ca.crt` as stored.
    pub(crate) bundle: String,
}

/// A server with a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Server {
    Aggregator,
    Injector,
    ExternalMetrics,
}

/// All Secrets at one moment.
pub(crate) struct CertificateState {
    pub(crate) authorities: AuthorityState,
    pub(crate) servers: Vec<ServerState>,
}

impl CertificateState {
    /// Exports when the signing CA and each server's certificate expire. An invalid one does not replace what was read
    /// before, so that a failing renewal is noticed.
    pub(crate) fn export_expiry(&self, metrics: &CertificateMetrics) {
        if let Some(signer) = self.authorities.all.first() {
            metrics.expires(Subject::Ca, signer.certificate.expires_at);
        }
        for server in &self.servers {
            if let Ok(certificate) = &server.pair {
                metrics.expires(server.server.into(), certificate.expires_at);
            }
        }
    }
}

impl AuthorityState {
    /// Parses the Secret. A key without a certificate is dropped; a certificate without a key is trusted and signs
    /// nothing.
    pub(crate) fn read(stored: AuthorityPem) -> Self {
        let (certificates, mut problem) =
            match Certificate::read_all(&stored.certificates, "ca.crt") {
                Ok(found) => (found, None),
                Err(error) => (Vec::new(), Some(error)),
            };
        let blocks = pem::parse_many(&stored.keys).unwrap_or_default();
        let keys: Vec<KeyPair> = blocks
            .iter()
            .filter_map(|block| KeyPair::try_from(block.contents()).ok())
            .collect();
        if keys.is_empty() && problem.is_none() {
            problem = Some(match stored.keys.trim() {
                "" => InvalidCertificate::Missing("ca.key"),
                _ => InvalidCertificate::Malformed("ca.key"),
            });
        }
        let all = certificates
            .into_iter()
            .filter(|certificate| certificate.is_authority)
            .map(|certificate| {
                let key = keys
                    .iter()
                    .find(|key| key.public_key_raw() == certificate.public_key);
                Authority {
                    key_pem: key.map(KeyPair::serialize_pem),
                    certificate,
                }
            })
            .collect();
        Self {
            all,
            problem,
            stored,
        }
    }
}

impl AuthorityPem {
    /// Encodes CAs in this order.
    pub(crate) fn encode(authorities: &[Authority]) -> Self {
        let mut pem = Self::default();
        for authority in authorities {
            pem.certificates.push_str(&authority.certificate.pem());
            pem.keys
                .push_str(authority.key_pem.as_deref().unwrap_or_default());
        }
        pem
    }
}

impl ServerState {
    /// Returns the CAs in the bundle that signed the certificate. If the Secret of the CAs is lost, clients still trust
    /// them.
    pub(crate) fn signers(&self, now: SystemTime) -> Vec<Certificate> {
        let Ok(pair) = &self.pair else {
            return Vec::new();
        };
        let bundle = Certificate::read_all(&self.bundle, "ca.crt").unwrap_or_default();
        bundle
            .into_iter()
            .filter(|one| one.is_authority && one.is_valid_at(now) && pair.is_signed_by(one))
            .collect()
    }
}

impl Server {
    /// Returns the name of the server's Secret.
    pub(crate) fn secret(self) -> &'static str {
        match self {
            Self::Aggregator => "pushscale-aggregator-tls",
            Self::Injector => "pushscale-injector-tls",
            Self::ExternalMetrics => "pushscale-external-metrics-tls",
        }
    }
}

impl From<Server> for Subject {
    fn from(server: Server) -> Self {
        match server {
            Server::Aggregator => Self::Aggregator,
            Server::Injector => Self::Injector,
            Server::ExternalMetrics => Self::ExternalMetrics,
        }
    }
}

/// Returns the DNS names of a Service.
pub(crate) fn dns_names(service: &str, namespace: &str) -> Vec<String> {
    vec![
        service.to_owned(),
        format!("{service}.{namespace}"),
        format!("{service}.{namespace}.svc"),
        format!("{service}.{namespace}.svc.cluster.local"),
    ]
}
