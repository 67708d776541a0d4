//! What the Secrets hold, read as far as it can be.

use std::time::SystemTime;

use rcgen::KeyPair;

use crate::certificate::{Certificate, Unusable, read_pair};

/// A CA, with its key if it may sign.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Authority {
    pub(crate) certificate: Certificate,
    pub(crate) key_pem: Option<String>,
}

/// The Secret of the CAs: `ca.crt` has their certificates, the signing one first, `ca.key` the keys of those that
/// sign or will. Which key belongs to which is seen by the keys.
pub(crate) struct HeldAuthorities {
    pub(crate) all: Vec<Authority>,
    /// What could not be read.
    pub(crate) trouble: Option<Unusable>,
    /// As stored.
    pub(crate) stored: AuthorityTexts,
}

/// `ca.crt` and `ca.key`.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct AuthorityTexts {
    pub(crate) certificates: String,
    pub(crate) keys: String,
}

/// The Secret of one server.
pub(crate) struct HeldServer {
    /// Whose.
    pub(crate) server: Server,
    /// What the certificate must say.
    pub(crate) names: Vec<String>,
    /// The pair, if it is one.
    pub(crate) pair: Result<Certificate, Unusable>,
    /// `ca.crt` beside it, as stored.
    pub(crate) bundle: String,
}

/// Who has a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Server {
    Aggregator,
    Injector,
}

/// All Secrets at one moment.
pub(crate) struct Held {
    pub(crate) authorities: HeldAuthorities,
    pub(crate) servers: Vec<HeldServer>,
}

impl HeldAuthorities {
    /// Reads both texts. A key without a certificate is dropped, a certificate without a key is trusted only.
    pub(crate) fn read(stored: AuthorityTexts) -> Self {
        let (certificates, mut trouble) =
            match Certificate::read_all(&stored.certificates, "ca.crt") {
                Ok(found) => (found, None),
                Err(error) => (Vec::new(), Some(error)),
            };
        let blocks = pem::parse_many(&stored.keys).unwrap_or_default();
        let keys: Vec<KeyPair> = blocks
            .iter()
            .filter_map(|block| KeyPair::try_from(block.contents()).ok())
            .collect();
        if keys.is_empty() && trouble.is_none() {
            trouble = Some(match stored.keys.trim() {
                "" => Unusable::Missing("ca.key"),
                _ => Unusable::Garbled("ca.key"),
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
            trouble,
            stored,
        }
    }
}

impl AuthorityTexts {
    /// Of these, in this order.
    pub(crate) fn of<'a>(authorities: impl IntoIterator<Item = &'a Authority>) -> Self {
        let mut texts = Self::default();
        for authority in authorities {
            texts.certificates.push_str(&authority.certificate.pem());
            texts
                .keys
                .push_str(authority.key_pem.as_deref().unwrap_or_default());
        }
        texts
    }
}

impl HeldServer {
    /// Reads a server's three texts.
    pub(crate) fn read(
        server: Server,
        names: Vec<String>,
        certificate: &str,
        key: &str,
        bundle: String,
    ) -> Self {
        Self {
            server,
            names,
            pair: read_pair(certificate, key),
            bundle,
        }
    }

    /// The CAs beside a good certificate that vouch for it. When the Secret of the CAs is lost they are still what
    /// clients know.
    pub(crate) fn vouching(&self, now: SystemTime) -> Vec<Certificate> {
        let Ok(pair) = &self.pair else {
            return Vec::new();
        };
        let beside = Certificate::read_all(&self.bundle, "ca.crt").unwrap_or_default();
        beside
            .into_iter()
            .filter(|one| one.is_authority && one.holds_at(now) && pair.is_signed_by(one))
            .collect()
    }
}

impl Server {
    /// Its Secret.
    pub(crate) fn secret(self) -> &'static str {
        match self {
            Self::Aggregator => "pushscale-aggregator-tls",
            Self::Injector => "pushscale-injector-tls",
        }
    }
}

/// What a Service is called by those who use it.
pub(crate) fn names_of(service: &str, namespace: &str) -> Vec<String> {
    vec![
        service.to_owned(),
        format!("{service}.{namespace}"),
        format!("{service}.{namespace}.svc"),
        format!("{service}.{namespace}.svc.cluster.local"),
    ]
}
