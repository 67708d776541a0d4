//! Issues, renews and publishes the TLS certificates of Pushscale's servers.
//!
//! [`start`] spawns the tasks. Certificates are issued here and stored in Secrets (`controller`), or another tool
//! renews them in a directory (`directory`). `plan` decides what to issue or renew, and is pure. `publish` copies the
//! CA bundle into every namespace, `webhook` into the injector's webhook configuration. `owner` finds the object that
//! owns everything that is written, so that an uninstall removes it.

mod certificate;
mod controller;
mod directory;
mod issue;
mod kube_error;
mod metrics;
mod owner;
mod plan;
mod publish;
mod secrets;
mod settings;
mod state;
mod webhook;

use std::fmt;
use std::sync::Arc;

use kube::Client;
use pushscale_daemon::error::chain;
use pushscale_daemon::readiness::ReadinessLatch;
use pushscale_daemon::tasks::Tasks;
use pushscale_daemon::tls::ServerCertificate;
use tokio::sync::watch;

pub use metrics::CertificateMetrics;
pub use settings::{CertificateSettings, Lifetimes, SelfSigned, Source};

/// What a TLS server and its clients need, as PEM.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct ServingCertificate {
    /// The server's certificate, followed by intermediate certificates.
    certificate_pem: String,
    /// The server's private key.
    key_pem: String,
    /// The CA certificates that clients trust.
    ca_bundle_pem: String,
}

/// The newest serving certificate; `None` before the first one.
pub(crate) type Newest = watch::Receiver<Option<Arc<ServingCertificate>>>;

impl fmt::Debug for ServingCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without the key.
        f.debug_struct("ServingCertificate")
            .field("certificate_pem", &self.certificate_pem)
            .field("ca_bundle_pem", &self.ca_bundle_pem)
            .finish_non_exhaustive()
    }
}

/// Spawns the tasks that keep certificates valid and their CA published, and that set `served` to the newest one.
/// `first` is dropped once there is a certificate to serve.
pub fn start(
    tasks: &mut Tasks,
    client: &Client,
    settings: &CertificateSettings,
    metrics: &CertificateMetrics,
    served: ServerCertificate,
    first: ReadinessLatch,
) {
    let (sender, receiver) = watch::channel(None);
    let owner = owner::start(tasks, client, settings.owner.as_deref());
    match &settings.source {
        Source::SelfSigned(own) => tasks.spawn_endless(
            "certificate controller",
            controller::run(
                client.clone(),
                own.clone(),
                owner.clone(),
                metrics.clone(),
                sender,
            ),
        ),
        Source::Directory(path) => tasks.spawn_endless(
            "certificate directory",
            directory::run(path.clone(), metrics.clone(), sender),
        ),
    }
    tasks.spawn_endless(
        "CA publisher",
        publish::run(
            client.clone(),
            settings.namespace.clone(),
            receiver.clone(),
            owner,
            metrics.clone(),
        ),
    );
    if let Some(webhook) = &settings.webhook {
        tasks.spawn_endless(
            "webhook CA",
            webhook::run(
                client.clone(),
                webhook.clone(),
                receiver.clone(),
                metrics.clone(),
            ),
        );
    }
    tasks.spawn_endless("serving certificate", serve(receiver, served, first));
}

/// Sets the newest certificate, and returns whether it differs from the previous one.
pub(crate) fn publish_certificate(
    newest: &watch::Sender<Option<Arc<ServingCertificate>>>,
    certificate: ServingCertificate,
) -> bool {
    newest.send_if_modified(|current| {
        let differs = current.as_deref() != Some(&certificate);
        if differs {
            *current = Some(Arc::new(certificate));
        }
        differs
    })
}

async fn serve(mut newest: Newest, served: ServerCertificate, first: ReadinessLatch) {
    let mut first = Some(first);
    while newest.changed().await.is_ok() {
        let Some(certificate) = newest.borrow_and_update().clone() else {
            continue;
        };
        let (pem, key) = (&certificate.certificate_pem, &certificate.key_pem);
        match served.set_pem("the newest certificate", pem.as_bytes(), key.as_bytes()) {
            Ok(()) => drop(first.take()),
            // The controller or the directory has parsed it by the same rules, so this is a defect.
            Err(error) => {
                tracing::error!(error = %chain(&error), "keeping the previous certificate: new one rejected");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_output_omits_the_key() {
        let certificate = ServingCertificate {
            certificate_pem: "certificate".to_owned(),
            key_pem: "secret".to_owned(),
            ca_bundle_pem: "bundle".to_owned(),
        };
        let output = format!("{certificate:?}");
        assert!(
            output.contains("bundle") && !output.contains("secret"),
            "{output}"
        );
    }
}
