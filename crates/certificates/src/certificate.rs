//! The parts of a certificate that its renewal depends on.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use pem::{EncodeConfig, LineEnding, Pem};
use rustls::crypto::ring::default_provider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use thiserror::Error;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer as _;
use x509_parser::time::ASN1Time;

/// A certificate is valid from this long before it is issued, since clocks differ.
pub(crate) const CLOCK_SKEW: Duration = Duration::from_secs(300);

const CERTIFICATE: &str = "CERTIFICATE";

/// A parsed certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Certificate {
    der: Vec<u8>,
    pub(crate) issued_at: SystemTime,
    pub(crate) expires_at: SystemTime,
    /// Whether it may sign certificates.
    pub(crate) is_authority: bool,
    /// The subject alternative names.
    pub(crate) names: BTreeSet<String>,
    /// The raw public key.
    pub(crate) public_key: Vec<u8>,
}

/// Why a certificate or its key cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum InvalidCertificate {
    /// The file is empty or absent.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// The file is not PEM, or has another content.
    #[error("{0} is malformed")]
    Malformed(&'static str),
    #[error("tls.key does not match tls.crt")]
    KeyMismatch,
}

impl Certificate {
    /// Parses all certificates of a PEM text, in order.
    ///
    /// # Errors
    ///
    /// Fails if the text is not PEM, or if a certificate is malformed.
    pub(crate) fn read_all(
        text: &str,
        file: &'static str,
    ) -> Result<Vec<Self>, InvalidCertificate> {
        let malformed = || InvalidCertificate::Malformed(file);
        let blocks = pem::parse_many(text).map_err(|_| malformed())?;
        let certificates: Option<Vec<_>> = blocks
            .into_iter()
            .filter(|block| block.tag() == CERTIFICATE)
            .map(|block| Self::read(block.into_contents()))
            .collect();
        match certificates {
            Some(found) if !found.is_empty() => Ok(found),
            _ if text.trim().is_empty() => Err(InvalidCertificate::Missing(file)),
            _ => Err(malformed()),
        }
    }

    fn read(der: Vec<u8>) -> Option<Self> {
        let (_, parsed) = X509Certificate::from_der(&der).ok()?;
        let names = match parsed.subject_alternative_name().ok()? {
            Some(names) => names.value.general_names.iter().map(name).collect(),
            None => BTreeSet::new(),
        };
        let validity = parsed.validity();
        Some(Self {
            issued_at: moment(validity.not_before)? + CLOCK_SKEW,
            expires_at: moment(validity.not_after)?,
            is_authority: parsed.is_ca(),
            names,
            public_key: parsed.public_key().subject_public_key.data.to_vec(),
            der,
        })
    }

    /// Encodes the certificate as PEM.
    pub(crate) fn pem(&self) -> String {
        let config = EncodeConfig::new().set_line_ending(LineEnding::LF);
        pem::encode_config(&Pem::new(CERTIFICATE, self.der.as_slice()), config)
    }

    /// Returns the time after two thirds of the lifetime.
    pub(crate) fn renew_at(&self) -> SystemTime {
        let lifetime = self.expires_at.duration_since(self.issued_at);
        self.issued_at + lifetime.unwrap_or_default() * 2 / 3
    }

    /// Whether the certificate is valid at this time.
    pub(crate) fn is_valid_at(&self, now: SystemTime) -> bool {
        (self.issued_at - CLOCK_SKEW..self.expires_at).contains(&now)
    }

    /// Whether this CA signed the certificate.
    pub(crate) fn is_signed_by(&self, authority: &Self) -> bool {
        let Ok((_, own)) = X509Certificate::from_der(&self.der) else {
            return false;
        };
        let Ok((_, other)) = X509Certificate::from_der(&authority.der) else {
            return false;
        };
        own.issuer() == other.subject() && own.verify_signature(Some(other.public_key())).is_ok()
    }
}

/// Parses a server's certificate and checks its key.
///
/// # Errors
///
/// Fails if one of them is missing or malformed, or if the key does not match.
pub(crate) fn read_pair(certificate: &str, key: &str) -> Result<Certificate, InvalidCertificate> {
    let chain = Certificate::read_all(certificate, "tls.crt")?;
    if key.trim().is_empty() {
        return Err(InvalidCertificate::Missing("tls.key"));
    }
    let malformed = |_| InvalidCertificate::Malformed("tls.key");
    let key = pem::parse(key).map_err(malformed)?;
    let key = PrivateKeyDer::try_from(key.into_contents())
        .map_err(|_| InvalidCertificate::Malformed("tls.key"))?;
    let certificates = chain
        .iter()
        .map(|one| CertificateDer::from(one.der.clone()))
        .collect();
    // The same check as in the TLS server, which therefore cannot fail later.
    match CertifiedKey::from_der(certificates, key, &default_provider()) {
        Ok(_) => {}
        Err(rustls::Error::InconsistentKeys(_)) => return Err(InvalidCertificate::KeyMismatch),
        Err(_) => return Err(InvalidCertificate::Malformed("tls.key")),
    }
    chain
        .into_iter()
        .next()
        .ok_or(InvalidCertificate::Missing("tls.crt"))
}

fn moment(time: ASN1Time) -> Option<SystemTime> {
    let seconds = u64::try_from(time.timestamp()).ok()?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
}

fn name(name: &GeneralName<'_>) -> String {
    match name {
        GeneralName::DNSName(name) => (*name).to_owned(),
        // Never issued here, so that it only has to differ.
        other => other.to_string(),
    }
}
