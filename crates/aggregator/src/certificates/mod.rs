//! Certificates that need nobody: made here or read from a folder, renewed, and made known to sidecars and to the
//! API server.
//!
//! `keeper` (or `folder`) holds what the TLS server needs; `plan` alone says when something is made anew, and is pure.
//! `publish` brings the CA to every namespace and `webhook` to the API server; `owner` makes an uninstall leave
//! nothing.

mod certificate;
mod folder;
mod held;
mod issue;
mod keeper;
mod metrics;
mod owner;
mod plan;
mod publish;
mod secrets;
mod settings;
mod webhook;

use std::fmt;
use std::sync::Arc;

use kube::Client;
use pushscale_daemon::readiness::ReadinessLatch;
use pushscale_daemon::tasks::Tasks;
use pushscale_daemon::tls::ServerCertificate;
use tokio::sync::watch;

pub(crate) use metrics::CertificateMetrics;
pub use settings::{CertificateSettings, Lifetimes, SelfSigned, Source};

/// What a TLS server needs, as PEM.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Issued {
    /// The server's certificate, and those between it and the CA.
    certificate_pem: String,
    /// The server's private key.
    key_pem: String,
    /// The CA certificates that a client trusts.
    ca_bundle_pem: String,
}

impl fmt::Debug for Issued {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Never the key.
        f.debug_struct("Issued")
            .field("certificate_pem", &self.certificate_pem)
            .field("ca_bundle_pem", &self.ca_bundle_pem)
            .finish_non_exhaustive()
    }
}

/// Starts to keep certificates, and `shown` as the newest. `first` is given back once there is one.
pub(crate) fn start(
    tasks: &mut Tasks,
    client: &Client,
    settings: &CertificateSettings,
    metrics: &CertificateMetrics,
    shown: ServerCertificate,
    first: ReadinessLatch,
) {
    let (sender, receiver) = watch::channel(None);
    let owner = owner::start(tasks, client, settings.owner.as_deref());
    match &settings.source {
        Source::SelfSigned(own) => tasks.spawn(
            "the keeper of certificates",
            keeper::run(
                client.clone(),
                own.clone(),
                owner.clone(),
                metrics.clone(),
                sender,
            ),
        ),
        Source::Folder(folder) => tasks.spawn(
            "the folder of certificates",
            folder::run(folder.clone(), metrics.clone(), sender),
        ),
    }
    tasks.spawn(
        "the publisher of the CA",
        publish::run(
            client.clone(),
            settings.namespace.clone(),
            receiver.clone(),
            owner,
            metrics.clone(),
        ),
    );
    if let Some(webhook) = &settings.webhook {
        tasks.spawn(
            "the webhook's CA",
            webhook::run(
                client.clone(),
                webhook.clone(),
                receiver.clone(),
                metrics.clone(),
            ),
        );
    }
    tasks.spawn("the shown certificate", show(receiver, shown, first));
}

async fn show(
    mut issued: watch::Receiver<Option<Arc<Issued>>>,
    shown: ServerCertificate,
    first: ReadinessLatch,
) {
    let mut first = Some(first);
    while issued.changed().await.is_ok() {
        let Some(newest) = issued.borrow_and_update().clone() else {
            continue;
        };
        let (chain, key) = (&newest.certificate_pem, &newest.key_pem);
        match shown.set_pem("the newest certificate", chain.as_bytes(), key.as_bytes()) {
            Ok(()) => drop(first.take()),
            // It was read before by the same rules, so this is a defect.
            Err(error) => {
                tracing::error!(%error, "a certificate cannot be shown, the one before stays");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_never_shows_the_key() {
        let issued = Issued {
            certificate_pem: "certificate".to_owned(),
            key_pem: "secret".to_owned(),
            ca_bundle_pem: "bundle".to_owned(),
        };
        let shown = format!("{issued:?}");
        assert!(
            shown.contains("bundle") && !shown.contains("secret"),
            "{shown}"
        );
    }
}
