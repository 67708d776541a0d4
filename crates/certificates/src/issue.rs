//! Makes CAs and certificates.

use std::time::SystemTime;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose,
};
use thiserror::Error;

use crate::certificate::BACKDATED;
use crate::settings::Lifetimes;
use crate::state::Authority;

/// A certificate and its private key, as PEM.
pub(crate) struct Made {
    pub(crate) certificate_pem: String,
    pub(crate) key_pem: String,
}

/// Why nothing could be made.
#[derive(Debug, Error)]
pub(crate) enum IssueError {
    /// The library refuses; a Service's name that is no DNS name, for one.
    #[error("make a certificate: check the names of the Services")]
    Refused(#[from] rcgen::Error),
    /// The CA's key is not here.
    #[error("sign a certificate: the CA's key is not held")]
    NoKey,
}

/// Makes a CA.
///
/// # Errors
/// If the machine gives no random numbers.
pub(crate) fn authority(now: SystemTime, lifetimes: Lifetimes) -> Result<Made, IssueError> {
    // A name of its own: with two of the same name a client may try the wrong one first.
    let made = jiff::Timestamp::try_from(now).unwrap_or_default();
    let mut params = params(&format!("pushscale-ca {made:.0}"), &[])?;
    params.not_before = (now - BACKDATED).into();
    params.not_after = (now + lifetimes.authority).into();
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?;
    Ok(Made {
        certificate_pem: certificate.pem(),
        key_pem: key.serialize_pem(),
    })
}

/// Makes a server's certificate for these names; the first is what it is called.
///
/// # Errors
/// If a name is none, or the signer's key is not held.
pub(crate) fn server(
    now: SystemTime,
    lifetimes: Lifetimes,
    names: &[String],
    signer: &Authority,
) -> Result<Made, IssueError> {
    let signer_key = signer.key_pem.as_deref().ok_or(IssueError::NoKey)?;
    let called = names.first().map(String::as_str).unwrap_or_default();
    let mut params = params(called, names)?;
    params.not_before = (now - BACKDATED).into();
    // Nothing outlives what vouches for it.
    params.not_after = (now + lifetimes.server).min(signer.certificate.ends).into();
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    let signer_key = KeyPair::from_pem(signer_key)?;
    let issuer = Issuer::from_ca_cert_pem(&signer.certificate.pem(), signer_key)?;
    let key = KeyPair::generate()?;
    let certificate = params.signed_by(&key, &issuer)?;
    Ok(Made {
        certificate_pem: certificate.pem(),
        key_pem: key.serialize_pem(),
    })
}

fn params(called: &str, names: &[String]) -> Result<CertificateParams, IssueError> {
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, called);
    Ok(params)
}
