//! One certificate, as far as its renewal depends on what is in it.

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

/// A certificate is valid from a little before it was made: clocks differ.
pub(crate) const BACKDATED: Duration = Duration::from_secs(300);

const CERTIFICATE: &str = "CERTIFICATE";

/// A certificate that could be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Certificate {
    der: Vec<u8>,
    /// When it was made.
    pub(crate) made: SystemTime,
    /// When it has run out.
    pub(crate) ends: SystemTime,
    /// May it sign certificates?
    pub(crate) is_authority: bool,
    /// What it says its holder is called.
    pub(crate) names: BTreeSet<String>,
    /// The raw public key.
    pub(crate) public_key: Vec<u8>,
}

/// Why a certificate or a pair is of no use.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum Unusable {
    /// Nothing is there.
    #[error("there is no {0}")]
    Missing(&'static str),
    /// It is no PEM, or not of this.
    #[error("{0} is garbled")]
    Garbled(&'static str),
    /// A pair that is none.
    #[error("tls.key does not belong to tls.crt")]
    OtherKey,
}

impl Certificate {
    /// All certificates of a PEM text, in their order.
    ///
    /// # Errors
    /// If it is no PEM, or one in it cannot be read.
    pub(crate) fn read_all(text: &str, file: &'static str) -> Result<Vec<Self>, Unusable> {
        let garbled = || Unusable::Garbled(file);
        let blocks = pem::parse_many(text).map_err(|_| garbled())?;
        let certificates: Option<Vec<_>> = blocks
            .into_iter()
            .filter(|block| block.tag() == CERTIFICATE)
            .map(|block| Self::read(block.into_contents()))
            .collect();
        match certificates {
            Some(found) if !found.is_empty() => Ok(found),
            _ if text.trim().is_empty() => Err(Unusable::Missing(file)),
            _ => Err(garbled()),
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
            made: moment(validity.not_before)? + BACKDATED,
            ends: moment(validity.not_after)?,
            is_authority: parsed.is_ca(),
            names,
            public_key: parsed.public_key().subject_public_key.data.to_vec(),
            der,
        })
    }

    /// As PEM.
    pub(crate) fn pem(&self) -> String {
        let config = EncodeConfig::new().set_line_ending(LineEnding::LF);
        pem::encode_config(&Pem::new(CERTIFICATE, self.der.as_slice()), config)
    }

    /// When two thirds of its life are over.
    pub(crate) fn renew_at(&self) -> SystemTime {
        let life = self.ends.duration_since(self.made).unwrap_or_default();
        self.made + life * 2 / 3
    }

    /// Does it hold at this moment?
    pub(crate) fn holds_at(&self, now: SystemTime) -> bool {
        (self.made - BACKDATED..self.ends).contains(&now)
    }

    /// Did this authority sign it?
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

/// A server's certificate whose key is the right one.
///
/// # Errors
/// If one of them cannot be read, or they do not belong together.
pub(crate) fn read_pair(certificate: &str, key: &str) -> Result<Certificate, Unusable> {
    let chain = Certificate::read_all(certificate, "tls.crt")?;
    if key.trim().is_empty() {
        return Err(Unusable::Missing("tls.key"));
    }
    let garbled = |_| Unusable::Garbled("tls.key");
    let key = pem::parse(key).map_err(garbled)?;
    let key =
        PrivateKeyDer::try_from(key.into_contents()).map_err(|_| Unusable::Garbled("tls.key"))?;
    let certificates = chain
        .iter()
        .map(|one| CertificateDer::from(one.der.clone()))
        .collect();
    // What the TLS server will do with them, so that it cannot fail there.
    match CertifiedKey::from_der(certificates, key, &default_provider()) {
        Ok(_) => {}
        Err(rustls::Error::InconsistentKeys(_)) => return Err(Unusable::OtherKey),
        Err(_) => return Err(Unusable::Garbled("tls.key")),
    }
    chain.into_iter().next().ok_or(Unusable::Missing("tls.crt"))
}

fn moment(time: ASN1Time) -> Option<SystemTime> {
    let seconds = u64::try_from(time.timestamp()).ok()?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
}

fn name(name: &GeneralName<'_>) -> String {
    match name {
        GeneralName::DNSName(name) => (*name).to_owned(),
        // Not ours, then, and so it only has to differ.
        other => other.to_string(),
    }
}
