//! Reads certificates that another tool, such as cert-manager, renews in a directory.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use pushscale_daemon::error::chain;
use thiserror::Error;
use tokio::sync::watch;

use crate::certificate::{Certificate, InvalidCertificate, read_pair};
use crate::metrics::{CertificateMetrics, Failure, Subject};
use crate::{ServingCertificate, publish_certificate};

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

/// Reads the files repeatedly. Never returns. An invalid certificate is logged once, and the previous one is kept.
pub(crate) async fn run(
    directory: PathBuf,
    metrics: CertificateMetrics,
    newest: watch::Sender<Option<Arc<ServingCertificate>>>,
) {
    let mut logged = None;
    loop {
        let path = directory.clone();
        let read = tokio::task::spawn_blocking(move || read(&path, SystemTime::now())).await;
        match read {
            Ok(Ok((certificate, expires_at))) => {
                logged = None;
                metrics.expires(Subject::Aggregator, expires_at);
                if publish_certificate(&newest, certificate) {
                    let expires_at = jiff::Timestamp::try_from(expires_at).unwrap_or_default();
                    let expires_at = format_args!("{expires_at:.0}");
                    tracing::info!(directory = %directory.display(), %expires_at, "certificate read");
                }
            }
            Ok(Err(error)) => {
                let error = chain(&error).to_string();
                if logged.as_ref() != Some(&error) {
                    metrics.failed(Failure::Files);
                    tracing::warn!(directory = %directory.display(), error, "keeping the previous certificate: new one rejected");
                    logged = Some(error);
                }
            }
            Err(error) => {
                tracing::error!(error = %chain(&error), "reading the certificate panicked")
            }
        }
        tokio::time::sleep(READ_INTERVAL).await;
    }
}

fn read(
    directory: &Path,
    now: SystemTime,
) -> Result<(ServingCertificate, SystemTime), DirectoryError> {
    let text = |name| {
        let file = directory.join(name);
        std::fs::read_to_string(&file).map_err(|error| DirectoryError::Read(file, error))
    };
    let files = ServingCertificate {
        certificate_pem: text("tls.crt")?,
        key_pem: text("tls.key")?,
        ca_bundle_pem: text("ca.crt")?,
    };
    let certificate = read_pair(&files.certificate_pem, &files.key_pem)?;
    Certificate::read_all(&files.ca_bundle_pem, "ca.crt")?;
    if certificate.expires_at <= now {
        let expired_at = jiff::Timestamp::try_from(certificate.expires_at).unwrap_or_default();
        return Err(DirectoryError::Expired(expired_at));
    }
    Ok((files, certificate.expires_at))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Newest;
    use crate::issue::{self, IssuedCertificate};
    use crate::settings::Lifetimes;
    use crate::state::{AuthorityPem, AuthorityState, dns_names};

    /// Issues a CA and a certificate that it signs.
    fn issue() -> (String, IssuedCertificate) {
        let (now, lifetimes) = (SystemTime::now(), Lifetimes::default());
        let authority = issue::authority(now, lifetimes).unwrap();
        let state = AuthorityState::read(AuthorityPem {
            certificates: authority.certificate_pem.clone(),
            keys: authority.key_pem,
        });
        let names = dns_names("pushscale-aggregator", "pushscale");
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
        let (_, other) = issue();
        let result = |now| match read(&directory.0, now) {
            Ok(_) => "valid".to_owned(),
            Err(error) => chain(&error).to_string(),
        };
        let now = SystemTime::now();
        assert!(
            result(now).contains("tls.crt: No such file"),
            "{}",
            result(now)
        );
        directory.write("tls.crt", &issued.certificate_pem);
        directory.write("tls.key", &other.key_pem);
        directory.write("ca.crt", &bundle);
        assert_eq!(result(now), "tls.key does not match tls.crt");
        directory.write("tls.key", "-----BEGIN");
        assert_eq!(result(now), "tls.key is malformed");
        directory.write("tls.key", &issued.key_pem);
        assert_eq!(result(now), "valid");
        directory.write("ca.crt", "");
        assert_eq!(result(now), "ca.crt is missing");
        directory.write("ca.crt", &bundle);
        let later = now + Lifetimes::default().server * 2;
        assert!(result(later).starts_with("tls.crt expired at 20"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_certificate_is_used_and_an_invalid_one_is_not() {
        let directory = Directory::new("renewal");
        let (bundle, issued) = issue();
        directory.write("tls.crt", &issued.certificate_pem);
        directory.write("tls.key", &issued.key_pem);
        directory.write("ca.crt", &bundle);
        let (sender, mut receiver) = watch::channel(None);
        let metrics = CertificateMetrics::default();
        let running = tokio::spawn(run(directory.0.clone(), metrics, sender));
        let current = |receiver: &mut Newest| {
            let newest = receiver.borrow_and_update().clone();
            newest.unwrap().certificate_pem.clone()
        };
        receiver.changed().await.unwrap();
        assert_eq!(current(&mut receiver), issued.certificate_pem);

        let (bundle, newer) = issue();
        directory.write("tls.crt", &newer.certificate_pem);
        tokio::time::sleep(READ_INTERVAL * 3).await;
        assert!(!receiver.has_changed().unwrap(), "half a pair is used");
        directory.write("tls.key", &newer.key_pem);
        directory.write("ca.crt", &bundle);
        receiver.changed().await.unwrap();
        assert_eq!(current(&mut receiver), newer.certificate_pem);
        running.abort();
    }
}
