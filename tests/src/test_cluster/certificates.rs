//! Certificate authorities of a cluster, and the certificates that they issue.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose,
};

use super::error::ClusterError;

/// A certificate authority that lives in memory; what it issues is written to a folder.
pub(crate) struct Authority {
    folder: PathBuf,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// Whom a certificate is for, in the terms of Kubernetes: user and group of a client, names and
/// addresses of a server.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Subject<'a> {
    /// Common name.
    pub(crate) user: &'a str,
    /// Organization.
    pub(crate) group: Option<&'a str>,
    /// DNS names and IP addresses.
    pub(crate) served_as: &'a [&'a str],
}

/// Longer than any test, and than a week of work with one cluster by hand.
const VALIDITY: Duration = Duration::from_hours(14 * 24);

impl Authority {
    /// Makes an authority and writes its certificate to `<folder>/<name>.crt`.
    pub(crate) fn create(folder: &Path, name: &str) -> Result<Self, ClusterError> {
        let failed = |source| ClusterError::Certificate {
            subject: name.to_owned(),
            source,
        };
        let mut params = params(&[]).map_err(failed)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().map_err(failed)?;
        let issuer = CertifiedIssuer::self_signed(params, key).map_err(failed)?;
        let path = folder.join(format!("{name}.crt"));
        fs::write(&path, issuer.pem()).map_err(ClusterError::io("write", &path))?;
        Ok(Self {
            folder: folder.to_path_buf(),
            issuer,
        })
    }

    /// Issues a certificate for client and server use, and writes `<file>.crt` and `<file>.key`.
    pub(crate) fn issue(&self, file: &str, subject: Subject<'_>) -> Result<(), ClusterError> {
        let failed = |source| ClusterError::Certificate {
            subject: subject.user.to_owned(),
            source,
        };
        let mut params = params(subject.served_as).map_err(failed)?;
        params
            .distinguished_name
            .push(DnType::CommonName, subject.user);
        if let Some(group) = subject.group {
            params
                .distinguished_name
                .push(DnType::OrganizationName, group);
        }
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ClientAuth,
            ExtendedKeyUsagePurpose::ServerAuth,
        ];
        let key = KeyPair::generate().map_err(failed)?;
        let certificate = params.signed_by(&key, &self.issuer).map_err(failed)?;
        let path = self.folder.join(format!("{file}.crt"));
        fs::write(&path, certificate.pem()).map_err(ClusterError::io("write", &path))?;
        write_key(&self.folder.join(format!("{file}.key")), &key)
    }
}

/// Writes a new key pair, `<file>.key` and `<file>.pub`; for the tokens of service accounts, which
/// are signed without certificates.
pub(crate) fn write_key_pair(folder: &Path, file: &str) -> Result<(), ClusterError> {
    let key = KeyPair::generate().map_err(|source| ClusterError::Certificate {
        subject: file.to_owned(),
        source,
    })?;
    let path = folder.join(format!("{file}.pub"));
    fs::write(&path, key.public_key_pem()).map_err(ClusterError::io("write", &path))?;
    write_key(&folder.join(format!("{file}.key")), &key)
}

fn params(served_as: &[&str]) -> Result<CertificateParams, rcgen::Error> {
    let names: Vec<String> = served_as.iter().map(|&name| name.to_owned()).collect();
    // The library takes those that parse as IP addresses for such.
    let mut params = CertificateParams::new(names)?;
    let now = SystemTime::now();
    // Clocks may be set back a little between the making and the use.
    params.not_before = (now - Duration::from_hours(1)).into();
    params.not_after = (now + VALIDITY).into();
    params.distinguished_name = rcgen::DistinguishedName::new();
    Ok(params)
}

fn write_key(path: &Path, key: &KeyPair) -> Result<(), ClusterError> {
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(key.serialize_pem().as_bytes()))
        .map_err(ClusterError::io("write", path))
}
