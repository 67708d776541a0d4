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

/// A certificate authority in memory, which writes its certificates to a directory.
pub(crate) struct Authority {
    directory: PathBuf,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// The subject of a certificate, in the terms of Kubernetes: user and group of a client, names and addresses of a
/// server.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Subject<'a> {
    /// Common name.
    pub(crate) user: &'a str,
    /// Organization.
    pub(crate) group: Option<&'a str>,
    /// DNS names and IP addresses.
    pub(crate) served_as: &'a [&'a str],
}

/// The lifetime of a certificate. It exceeds the duration of any test, and a week of manual work with one cluster.
const VALIDITY: Duration = Duration::from_hours(14 * 24);

impl Authority {
    /// Creates an authority and writes its certificate to `<directory>/<name>.crt`.
    pub(crate) fn create(directory: &Path, name: &str) -> Result<Self, ClusterError> {
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
        let path = directory.join(format!("{name}.crt"));
        fs::write(&path, issuer.pem()).map_err(ClusterError::io("write", &path))?;
        Ok(Self {
            directory: directory.to_path_buf(),
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
        let path = self.directory.join(format!("{file}.crt"));
        fs::write(&path, certificate.pem()).map_err(ClusterError::io("write", &path))?;
        write_key(&self.directory.join(format!("{file}.key")), &key)
    }
}

/// Writes a new key pair, `<file>.key` and `<file>.pub`, for the tokens of service accounts, which are signed without
/// certificates.
pub(crate) fn write_key_pair(directory: &Path, file: &str) -> Result<(), ClusterError> {
    let key = KeyPair::generate().map_err(|source| ClusterError::Certificate {
        subject: file.to_owned(),
        source,
    })?;
    let path = directory.join(format!("{file}.pub"));
    fs::write(&path, key.public_key_pem()).map_err(ClusterError::io("write", &path))?;
    write_key(&directory.join(format!("{file}.key")), &key)
}

fn params(served_as: &[&str]) -> Result<CertificateParams, rcgen::Error> {
    let names: Vec<String> = served_as.iter().map(|&name| name.to_owned()).collect();
    // The library treats names that parse as IP addresses as such.
    let mut params = CertificateParams::new(names)?;
    let now = SystemTime::now();
    // The clock may be set back a little between creation and use.
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
