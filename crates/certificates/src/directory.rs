//! Reads the CA of certificates that another tool, such as cert-manager, renews in a directory. No key is read: the
//! server reads its own.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use pushscale_daemon::error::chain;
use thiserror::Error;

use crate::bundle::BundleSender;
use crate::certificate::{Certificate, InvalidCertificate};
use crate::metrics::{CertificateMetrics, Failure, Subject};

/// How often the files are read. Comparing their content works with every tool: the kubelet, for one, replaces a
/// symbolic link in the path.
const READ_INTERVAL: Duration = Duration::from_secs(10);

/// Why the files cannot be used.
#[derive(Debug, Error)]
enum DirectoryError {
    #[error("failed to read {0}")]
    Read(PathBuf, #[source] io::Error),
    #[error(transparent)]
    Invalid(#[from] InvalidCertificate),
    #[error("tls.crt expired at {0:.0}")]
    Expired(jiff::Timestamp),
}

/// The content of the directory.
struct Files {
    bundle: String,
    ca_expires_at: SystemTime,
    certificate_expires_at: SystemTime,
}

/// Reads the files repeatedly. Never returns. An invalid CA is logged once, and the previous one is kept.
pub(crate) async fn run(directory: PathBuf, metrics: CertificateMetrics, mut newest: BundleSender) {
    let mut logged = None;
    loop {
        let path = directory.clone();
        let read = tokio::task::spawn_blocking(move || read(&path)).await;
        match read.map(|files| files.and_then(|files| files.check(SystemTime::now(), &metrics))) {
            Ok(Ok(files)) => {
                logged = None;
                if newest.set(&files.bundle) {
                    let expires_at = timestamp(files.ca_expires_at);
                    let expires_at = format_args!("{expires_at:.0}");
                    tracing::info!(directory = %directory.display(), %expires_at, "CA read");
                }
            }
            Ok(Err(error)) => {
                let error = chain(&error).to_string();
                if logged.as_ref() != Some(&error) {
                    metrics.failures.increment(Failure::Files);
                    tracing::warn!(directory = %directory.display(), error, "keeping the previous CA: new files rejected");
                    logged = Some(error);
                }
            }
            Err(error) => {
                tracing::error!(error = %chain(&error), "reading the CA panicked")
            }
        }
        tokio::time::sleep(READ_INTERVAL).await;
    }
}

fn read(directory: &Path) -> Result<Files, DirectoryError> {
    let text = |name| {
        let file = directory.join(name);
        std::fs::read_to_string(&file).map_err(|error| DirectoryError::Read(file, error))
    };
    // The first certificate of a file: of the others, `tls.crt` has intermediate ones, and `ca.crt` older or later CAs.
    let first = |text: &str, file| {
        let all = Certificate::read_all(text, file)?;
        all.into_iter()
            .next()
            .ok_or(InvalidCertificate::Missing(file))
    };
    let certificate = first(&text("tls.crt")?, "tls.crt")?;
    let bundle = text("ca.crt")?;
    let authority = first(&bundle, "ca.crt")?;
    Ok(Files {
        bundle,
        ca_expires_at: authority.expires_at,
        certificate_expires_at: certificate.expires_at,
    })
}

impl Files {
    /// Exports when the certificates expire, and returns an error if the server's has expired.
    fn check(self, now: SystemTime, metrics: &CertificateMetrics) -> Result<Self, DirectoryError> {
        metrics.expires(Subject::Ca, self.ca_expires_at);
        metrics.expires(Subject::Aggregator, self.certificate_expires_at);
        if self.certificate_expires_at <= now {
            return Err(DirectoryError::Expired(timestamp(
                self.certificate_expires_at,
            )));
        }
        Ok(self)
    }
}

fn timestamp(time: SystemTime) -> jiff::Timestamp {
    jiff::Timestamp::try_from(time).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;
    use std::sync::Arc;

    use pushscale_daemon::readiness::Readiness;
    use pushscale_daemon::tls::{ServerCertificate, watch_directory};
    use rustls::crypto::ring::default_provider;
    use rustls::pki_types::pem::PemObject as _;
    use rustls::pki_types::{CertificateDer, ServerName};
    use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection};

    use super::*;
    use crate::bundle;
    use crate::config::Lifetimes;
    use crate::issue::{self, IssuedCertificate};
    use crate::state::{AuthorityPem, AuthorityState, dns_names};

    const SERVICE: &str = "pushscale-aggregator";

    /// Issues a CA and a certificate that it signs.
    fn issue() -> (String, IssuedCertificate) {
        let (now, lifetimes) = (SystemTime::now(), Lifetimes::default());
        let authority = issue::authority(now, lifetimes).unwrap();
        let state = AuthorityState::read(AuthorityPem {
            certificates: authority.certificate_pem.clone(),
            keys: authority.key_pem,
        });
        let names = dns_names(SERVICE, "pushscale");
        let issued = issue::server(now, lifetimes, &names, &state.all[0]).unwrap();
        (authority.certificate_pem, issued)
    }

    struct Directory(PathBuf);

    impl Directory {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("certs-{}-{name}", std::process::id()));
            std::fs::create_dir_all(&path).unwrap();
            Self(path)
        }

        fn write(&self, name: &str, text: &str) {
            std::fs::write(self.0.join(name), text).unwrap();
        }
    }

    impl Drop for Directory {
        fn drop(&mut self) {
            std::fs::remove_dir_all(&self.0).ok();
        }
    }

    #[test]
    fn errors_name_the_file() {
        let directory = Directory::new("errors");
        let (bundle, issued) = issue();
        let metrics = CertificateMetrics::default();
        let result = |now| match read(&directory.0).and_then(|files| files.check(now, &metrics)) {
            Ok(_) => "valid".to_owned(),
            Err(error) => chain(&error).to_string(),
        };
        let now = SystemTime::now();
        assert!(
            result(now).contains("tls.crt: No such file"),
            "{}",
            result(now)
        );
        directory.write("tls.crt", "-----BEGIN");
        assert_eq!(result(now), "tls.crt is malformed");
        directory.write("tls.crt", &issued.certificate_pem);
        directory.write("ca.crt", "");
        assert_eq!(result(now), "ca.crt is missing");
        directory.write("ca.crt", &bundle);
        assert_eq!(result(now), "valid");
        let later = now + Lifetimes::default().server * 2;
        directory.write("tls.crt", &issue().1.certificate_pem);
        metrics.expires(Subject::Aggregator, SystemTime::UNIX_EPOCH);
        assert!(result(later).starts_with("tls.crt expired at 20"));
        assert!(
            metrics.expiry(Subject::Aggregator) > 0,
            "the expiry of an expired certificate is exported too"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_ca_is_published_and_an_invalid_one_is_not() {
        let directory = Directory::new("renewal");
        let (bundle, issued) = issue();
        directory.write("tls.crt", &issued.certificate_pem);
        directory.write("ca.crt", &bundle);
        let (sender, mut newest) = bundle::channel(Readiness::default().latch());
        let metrics = CertificateMetrics::default();
        let running = tokio::spawn(run(directory.0.clone(), metrics, sender));
        newest.changed().await.unwrap();
        assert_eq!(newest.borrow_and_update().as_deref(), Some(bundle.as_str()));

        let (newer, _) = issue();
        directory.write("ca.crt", "-----BEGIN");
        tokio::time::sleep(READ_INTERVAL * 3).await;
        assert!(!newest.has_changed().unwrap(), "an invalid CA is published");
        directory.write("ca.crt", &newer);
        newest.changed().await.unwrap();
        assert_eq!(newest.borrow_and_update().as_deref(), Some(newer.as_str()));
        running.abort();
    }

    /// Whether a client that trusts this CA accepts the server's current certificate.
    fn is_trusted(bundle: &str, served: &ServerCertificate) -> bool {
        let mut roots = RootCertStore::empty();
        let authority = CertificateDer::from_pem_slice(bundle.as_bytes()).unwrap();
        roots.add(authority).unwrap();
        let versions = &[&rustls::version::TLS13];
        let client = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let server = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_protocol_versions(versions)
            .unwrap()
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(served.clone()));
        let name = ServerName::try_from(SERVICE).unwrap();
        let mut client = ClientConnection::new(Arc::new(client), name).unwrap();
        let mut server = ServerConnection::new(Arc::new(server)).unwrap();
        let mut wire = Vec::new();
        client.write_tls(&mut wire).unwrap();
        server.read_tls(&mut Cursor::new(wire)).unwrap();
        if server.process_new_packets().is_err() {
            return false;
        }
        let mut wire = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut wire).unwrap();
        }
        let mut wire = Cursor::new(wire);
        while client.read_tls(&mut wire).unwrap() > 0 {
            if client.process_new_packets().is_err() {
                return false;
            }
        }
        !client.is_handshaking()
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_uses_a_new_certificate_and_an_incomplete_one_not() {
        let directory = Directory::new("server");
        let served = ServerCertificate::default();
        let readiness = Readiness::default();
        let latch = readiness.latch();
        let running = tokio::spawn(watch_directory(directory.0.clone(), served.clone(), latch));
        let (bundle, issued) = issue();
        tokio::time::sleep(READ_INTERVAL).await;
        assert!(!readiness.is_ready() && !is_trusted(&bundle, &served));
        directory.write("tls.crt", &issued.certificate_pem);
        directory.write("tls.key", &issued.key_pem);
        tokio::time::sleep(READ_INTERVAL).await;
        assert!(readiness.is_ready() && is_trusted(&bundle, &served));

        let (newer_bundle, newer) = issue();
        directory.write("tls.crt", &newer.certificate_pem);
        tokio::time::sleep(READ_INTERVAL * 3).await;
        assert!(is_trusted(&bundle, &served), "half a pair is used");
        directory.write("tls.key", &newer.key_pem);
        tokio::time::sleep(READ_INTERVAL * 2).await;
        assert!(is_trusted(&newer_bundle, &served));
        running.abort();
    }
}
