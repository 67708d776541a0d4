//! Certificates that somebody else renews, such as cert-manager, in a folder.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use thiserror::Error;
use tokio::sync::watch;

use crate::ServingCertificate;
use crate::certificate::{Certificate, Unusable, read_pair};
use crate::metrics::{CertificateMetrics, Failure, Subject};

/// By content, since the kubelet swaps a link in the path, and other tools do other things.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// Why the folder's files are of no use.
#[derive(Debug, PartialEq, Eq, Error)]
enum FolderError {
    #[error("read {file}: {problem}")]
    Unreadable { file: PathBuf, problem: String },
    #[error(transparent)]
    Unusable(#[from] Unusable),
    #[error("tls.crt ran out at {0:.0}")]
    RanOut(jiff::Timestamp),
}

/// Reads again and again. What is of no use is told once and never taken: the last good pair goes on.
pub(crate) async fn run(
    folder: PathBuf,
    metrics: CertificateMetrics,
    issued: watch::Sender<Option<Arc<ServingCertificate>>>,
) {
    let mut told = None;
    loop {
        let place = folder.clone();
        let read = tokio::task::spawn_blocking(move || read(&place, SystemTime::now())).await;
        match read {
            Ok(Ok((found, ends))) => {
                told = None;
                metrics.expires(Subject::Aggregator, ends);
                let taken = issued.send_if_modified(|held| {
                    let other = held.as_deref() != Some(&found);
                    *held = Some(Arc::new(found));
                    other
                });
                if taken {
                    let ends = jiff::Timestamp::try_from(ends).unwrap_or_default();
                    tracing::info!(folder = %folder.display(), ends = %format_args!("{ends:.0}"), "a certificate is read");
                }
            }
            Ok(Err(error)) if told.as_ref() != Some(&error) => {
                metrics.failed(Failure::Files);
                tracing::warn!(folder = %folder.display(), %error, "the certificate is not taken, the one before stays");
                told = Some(error);
            }
            Ok(Err(_)) => {}
            Err(error) => tracing::error!(%error, "the folder cannot be read"),
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn read(folder: &Path, now: SystemTime) -> Result<(ServingCertificate, SystemTime), FolderError> {
    let text = |name| {
        let file = folder.join(name);
        std::fs::read_to_string(&file).map_err(|error| FolderError::Unreadable {
            file,
            problem: error.to_string(),
        })
    };
    let issued = ServingCertificate {
        certificate_pem: text("tls.crt")?,
        key_pem: text("tls.key")?,
        ca_bundle_pem: text("ca.crt")?,
    };
    let certificate = read_pair(&issued.certificate_pem, &issued.key_pem)?;
    Certificate::read_all(&issued.ca_bundle_pem, "ca.crt")?;
    if certificate.ends <= now {
        let ends = jiff::Timestamp::try_from(certificate.ends).unwrap_or_default();
        return Err(FolderError::RanOut(ends));
    }
    Ok((issued, certificate.ends))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Newest;
    use crate::issue::{self, Made};
    use crate::settings::Lifetimes;
    use crate::state::{AuthorityTexts, HeldAuthorities, names_of};

    /// A CA's certificate, and a pair that it signed.
    fn pair() -> (String, Made) {
        let (now, lifetimes) = (SystemTime::now(), Lifetimes::default());
        let authority = issue::authority(now, lifetimes).unwrap();
        let held = HeldAuthorities::read(AuthorityTexts {
            certificates: authority.certificate_pem.clone(),
            keys: authority.key_pem,
        });
        let names = names_of("pushscale-aggregator", "pushscale");
        let made = issue::server(now, lifetimes, &names, &held.all[0]).unwrap();
        (authority.certificate_pem, made)
    }

    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("certs-{}-{name}", std::process::id()));
            std::fs::create_dir_all(&path).unwrap();
            Self(path)
        }

        fn put(&self, name: &str, text: &str) {
            std::fs::write(self.0.join(name), text).unwrap();
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            std::fs::remove_dir_all(&self.0).ok();
        }
    }

    #[test]
    fn what_is_of_no_use_is_named() {
        let folder = Folder::new("named");
        let (bundle, made) = pair();
        let (_, other) = pair();
        let told = |now| match read(&folder.0, now) {
            Ok(_) => "taken".to_owned(),
            Err(error) => error.to_string(),
        };
        let now = SystemTime::now();
        assert!(told(now).contains("tls.crt: No such file"), "{}", told(now));
        folder.put("tls.crt", &made.certificate_pem);
        folder.put("tls.key", &other.key_pem);
        folder.put("ca.crt", &bundle);
        assert_eq!(told(now), "tls.key does not belong to tls.crt");
        folder.put("tls.key", "-----BEGIN");
        assert_eq!(told(now), "tls.key is garbled");
        folder.put("tls.key", &made.key_pem);
        assert_eq!(told(now), "taken");
        folder.put("ca.crt", "");
        assert_eq!(told(now), "there is no ca.crt");
        folder.put("ca.crt", &bundle);
        let later = now + Lifetimes::default().server * 2;
        assert!(told(later).starts_with("tls.crt ran out at 20"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_pair_is_taken_and_a_bad_one_keeps_the_last() {
        let folder = Folder::new("taken");
        let (bundle, made) = pair();
        folder.put("tls.crt", &made.certificate_pem);
        folder.put("tls.key", &made.key_pem);
        folder.put("ca.crt", &bundle);
        let (sender, mut receiver) = watch::channel(None);
        let metrics = CertificateMetrics::default();
        let running = tokio::spawn(run(folder.0.clone(), metrics, sender));
        let held = |receiver: &mut Newest| {
            let issued = receiver.borrow_and_update().clone();
            issued.unwrap().certificate_pem.clone()
        };
        receiver.changed().await.unwrap();
        assert_eq!(held(&mut receiver), made.certificate_pem);

        let (bundle, newer) = pair();
        folder.put("tls.crt", &newer.certificate_pem);
        tokio::time::sleep(LOOK_EVERY * 3).await;
        assert!(!receiver.has_changed().unwrap(), "half a pair is taken");
        folder.put("tls.key", &newer.key_pem);
        folder.put("ca.crt", &bundle);
        receiver.changed().await.unwrap();
        assert_eq!(held(&mut receiver), newer.certificate_pem);
        running.abort();
    }
}
