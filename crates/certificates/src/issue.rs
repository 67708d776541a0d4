//! Issues CAs and server certificates.

use std::time::SystemTime;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose,
};
use thiserror::Error;

use crate::certificate::CLOCK_SKEW;
use crate::config::Lifetimes;
use crate::state::Authority;

/// A certificate and its private key, as PEM.
pub(crate) struct IssuedCertificate {
    pub(crate) certificate_pem: String,
    pub(crate) key_pem: String,
}

/// Why no certificate could be issued.
#[derive(Debug, Error)]
pub(crate) enum IssueError {
    /// The parameters are invalid, such as a Service's name that is not a DNS name.
    #[error("failed to issue a certificate: check the names of the Services")]
    Generate(#[from] rcgen::Error),
    #[error("failed to sign a certificate: the CA's key is missing")]
    NoKey,
}

/// Issues a CA.
///
/// # Errors
///
/// Fails if the system provides no random numbers.
pub(crate) fn authority(
    now: SystemTime,
    lifetimes: Lifetimes,
) -> Result<IssuedCertificate, IssueError> {
    // Every CA has a different name: with two of the same name, a client may try only the wrong one.
    let issued_at = jiff::Timestamp::try_from(now).unwrap_or_default();
    let mut params = params(&format!("pushscale-ca {issued_at:.0}"), &[])?;
    params.not_before = (now - CLOCK_SKEW).into();
    params.not_after = (now + lifetimes.authority).into();
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?;
    Ok(IssuedCertificate {
        certificate_pem: certificate.pem(),
        key_pem: key.serialize_pem(),
    })
}

/// Issues a server's certificate for these DNS names. The first one becomes the common name.
///
/// # Errors
///
/// Fails if a name is not a DNS name, or if the signer has no key.
pub(crate) fn server(
    now: SystemTime,
    lifetimes: Lifetimes,
    names: &[String],
    signer: &Authority,
) -> Result<IssuedCertificate, IssueError> {
    let signer_key = signer.key_pem.as_deref().ok_or(IssueError::NoKey)?;
    let common_name = names.first().map(String::as_str).unwrap_or_default();
    let mut params = params(common_name, names)?;
    params.not_before = (now - CLOCK_SKEW).into();
    // A certificate must not outlive its CA.
    params.not_after = (now + lifetimes.server)
        .min(signer.certificate.expires_at)
        .into();
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    let signer_key = KeyPair::from_pem(signer_key)?;
    let issuer = Issuer::from_ca_cert_pem(&signer.certificate.pem(), signer_key)?;
    let key = KeyPair::generate()?;
    let certificate = params.signed_by(&key, &issuer)?;
    Ok(IssuedCertificate {
        certificate_pem: certificate.pem(),
        key_pem: key.serialize_pem(),
    })
}

fn params(common_name: &str, names: &[String]) -> Result<CertificateParams, IssueError> {
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name = DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::CommonName, common_name);
    Ok(params)
}
