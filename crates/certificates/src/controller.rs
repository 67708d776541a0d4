//! Keeps the CA and the servers' certificates in Secrets. A pass reads the Secrets and performs the plan's next step
//! until nothing is left to do. The next pass runs at the time that the plan names, when a Secret changes, or when the
//! newest bundle has been published.

use std::time::{Duration, SystemTime};

use futures_util::StreamExt as _;
use futures_util::stream::{BoxStream, SelectAll, select_all};
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::PartialObjectMeta;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::watch_object;
use kube::{Api, Client};
use pushscale_daemon::error::chain;
use thiserror::Error;
use tokio::sync::watch;

use crate::bundle::{BundleSender, NewestPublication, Publication};
use crate::certificate::read_pair;
use crate::config::SelfSigned;
use crate::issue::{self, IssueError};
use crate::metrics::{CertificateMetrics, Failure, Subject};
use crate::owner::{self, Owner};
use crate::plan::{self, Inputs, Reason, Step};
use crate::secrets::{SecretError, Secrets, StoredSecret};
use crate::state::{
    AuthorityPem, AuthorityState, CertificateState, Server, ServerState, dns_names,
};

const AUTHORITY: &str = "pushscale-ca";
const TLS: &str = "kubernetes.io/tls";
const OPAQUE: &str = "Opaque";

/// The first pass takes four steps. A pass with more than this conflicts with another writer.
const MAX_STEPS: usize = 16;

/// The delay after a failure.
const RETRY_DELAY: Duration = Duration::from_secs(5);

/// The longest wait. The system clock can be set, which tokio's timers do not notice.
const MAX_WAIT: Duration = Duration::from_secs(3600);

/// Runs the controller. Never returns.
pub(crate) async fn run(
    client: Client,
    settings: SelfSigned,
    mut owner: watch::Receiver<Owner>,
    metrics: CertificateMetrics,
    mut newest: BundleSender,
    mut published: NewestPublication,
) {
    let controller = Controller::new(client.clone(), settings, metrics);
    let mut changes = changes(&client, &controller);
    loop {
        let owners = owner.borrow_and_update().references();
        let publication = published.borrow_and_update().clone();
        let wait = match owners {
            Some(owners) => {
                let publication = publication.as_ref();
                controller
                    .reconcile(&owners, publication, &mut newest)
                    .await
            }
            None => MAX_WAIT,
        };
        tokio::select! {
            () = tokio::time::sleep(wait.min(MAX_WAIT)) => {}
            () = owner::changed(&mut owner) => {}
            Ok(()) = published.changed() => {}
            Some(()) = changes.next() => {}
        }
    }
}

struct Controller {
    secrets: Secrets,
    settings: SelfSigned,
    servers: Vec<(Server, Vec<String>)>,
    metrics: CertificateMetrics,
}

/// Why a pass failed.
#[derive(Debug, Error)]
enum ControllerError {
    #[error(transparent)]
    Secret(#[from] SecretError),
    #[error(transparent)]
    Issue(#[from] IssueError),
    #[error("another client keeps changing the Secrets")]
    WriteConflict,
}

/// All Secrets as read.
struct StoredSecrets {
    authorities: StoredSecret,
    servers: Vec<(Server, StoredSecret)>,
}

impl Controller {
    fn new(client: Client, settings: SelfSigned, metrics: CertificateMetrics) -> Self {
        let namespace = settings.own_namespace.as_str();
        let mut servers = vec![(
            Server::Aggregator,
            dns_names(&settings.aggregator_service, namespace),
        )];
        if let Some(injector) = &settings.injector_service {
            servers.push((Server::Injector, dns_names(injector, namespace)));
        }
        if let Some(external_metrics) = &settings.external_metrics_service {
            let names = dns_names(external_metrics, namespace);
            servers.push((Server::ExternalMetrics, names));
        }
        Self {
            secrets: Secrets::new(client, namespace),
            servers,
            settings,
            metrics,
        }
    }

    /// Performs all steps that are due, and returns the time until the next pass.
    async fn reconcile(
        &self,
        owners: &[OwnerReference],
        publication: Option<&Publication>,
        newest: &mut BundleSender,
    ) -> Duration {
        match self.perform_steps(owners, publication).await {
            Ok((until, bundle)) => {
                newest.set(&bundle);
                let until = until.duration_since(SystemTime::now());
                // Certificates have whole seconds; shortly after one the renewal is certainly due.
                until.unwrap_or_default() + Duration::from_millis(10)
            }
            Err(error) => {
                self.metrics.failures.increment(Failure::Controller);
                tracing::warn!(error = %chain(&error), "failed to reconcile certificates, retrying");
                RETRY_DELAY
            }
        }
    }

    async fn perform_steps(
        &self,
        owners: &[OwnerReference],
        publication: Option<&Publication>,
    ) -> Result<(SystemTime, String), ControllerError> {
        for _ in 0..MAX_STEPS {
            let stored = self.read().await?;
            let state = self.parse(&stored);
            state.export_expiry(&self.metrics);
            let inputs = Inputs {
                now: SystemTime::now(),
                state: &state,
                publication,
                lifetimes: self.settings.lifetimes,
            };
            let performed = match plan::next_step(inputs) {
                Step::Wait(until) => match stored.lacking(owners) {
                    None => return Ok((until, stored.authorities.text("ca.crt"))),
                    Some(secret) => self.add_owners(secret, owners).await,
                },
                step => self.perform(step, stored, inputs, owners).await,
            };
            ignore_conflict(performed)?;
        }
        Err(ControllerError::WriteConflict)
    }

    async fn read(&self) -> Result<StoredSecrets, SecretError> {
        let authorities = self.secrets.read(AUTHORITY).await?;
        let mut servers = Vec::new();
        for (server, _) in &self.servers {
            servers.push((*server, self.secrets.read(server.secret()).await?));
        }
        Ok(StoredSecrets {
            authorities,
            servers,
        })
    }

    fn parse(&self, stored: &StoredSecrets) -> CertificateState {
        let authorities = AuthorityState::read(AuthorityPem {
            certificates: stored.authorities.text("ca.crt"),
            keys: stored.authorities.text("ca.key"),
        });
        let secrets = stored.servers.iter().zip(&self.servers);
        let servers = secrets.map(|((server, secret), (_, names))| ServerState {
            server: *server,
            names: names.clone(),
            pair: read_pair(&secret.text("tls.crt"), &secret.text("tls.key")),
            bundle: secret.text("ca.crt"),
        });
        CertificateState {
            authorities,
            servers: servers.collect(),
        }
    }

    async fn perform(
        &self,
        step: Step,
        stored: StoredSecrets,
        inputs: Inputs<'_>,
        owners: &[OwnerReference],
    ) -> Result<(), ControllerError> {
        let Inputs { now, lifetimes, .. } = inputs;
        match step {
            Step::CreateAuthority { existing, reason } => {
                let issued = issue::authority(now, lifetimes)?;
                let pem = plan::with_new(inputs, existing, &issued);
                self.write_authorities(stored, &pem, owners).await?;
                self.note_issued(Subject::Ca, AUTHORITY, &reason);
            }
            Step::WriteAuthorities { pem, reason } => {
                self.write_authorities(stored, &pem, owners).await?;
                tracing::info!(secret = AUTHORITY, %reason, "CAs written");
            }
            Step::Issue {
                server,
                names,
                signer,
                bundle,
                reason,
            } => {
                let issued = issue::server(now, lifetimes, &names, &signer)?;
                let data = [
                    ("tls.crt", issued.certificate_pem.as_str()),
                    ("tls.key", &issued.key_pem),
                    ("ca.crt", &bundle),
                ];
                if let Some(secret) = stored.into_server(server) {
                    self.secrets.write(secret, TLS, &data, owners).await?;
                    self.note_issued(server.into(), server.secret(), &reason);
                }
            }
            Step::UpdateBundle { server, bundle } => {
                if let Some(secret) = stored.into_server(server) {
                    let (certificate, key) = (secret.text("tls.crt"), secret.text("tls.key"));
                    let data = [
                        ("tls.crt", certificate.as_str()),
                        ("tls.key", &key),
                        ("ca.crt", &bundle),
                    ];
                    self.secrets.write(secret, TLS, &data, owners).await?;
                }
            }
            Step::Wait(_) => {}
        }
        Ok(())
    }

    async fn write_authorities(
        &self,
        stored: StoredSecrets,
        pem: &AuthorityPem,
        owners: &[OwnerReference],
    ) -> Result<(), SecretError> {
        let data = [("ca.crt", pem.certificates.as_str()), ("ca.key", &pem.keys)];
        self.secrets
            .write(stored.authorities, OPAQUE, &data, owners)
            .await
    }

    /// Adds the owners to a Secret and keeps its data.
    async fn add_owners(
        &self,
        secret: StoredSecret,
        owners: &[OwnerReference],
    ) -> Result<(), ControllerError> {
        let keys = match secret.name {
            AUTHORITY => vec!["ca.crt", "ca.key"],
            _ => vec!["tls.crt", "tls.key", "ca.crt"],
        };
        let texts: Vec<_> = keys.iter().map(|key| (*key, secret.text(key))).collect();
        let data: Vec<_> = texts
            .iter()
            .map(|(key, text)| (*key, text.as_str()))
            .collect();
        Ok(self.secrets.write(secret, OPAQUE, &data, owners).await?)
    }

    fn note_issued(&self, subject: Subject, secret: &str, reason: &Reason) {
        self.metrics.renewals.increment(subject);
        if reason.is_unexpected() {
            self.metrics.failures.increment(Failure::InvalidSecret);
            tracing::warn!(secret, %reason, "certificate replaced");
        } else {
            tracing::info!(secret, %reason, "certificate issued");
        }
    }
}

impl StoredSecrets {
    fn into_server(self, server: Server) -> Option<StoredSecret> {
        let mut servers = self.servers.into_iter();
        servers
            .find(|(other, _)| *other == server)
            .map(|(_, secret)| secret)
    }

    /// Returns a Secret without one of these owners.
    fn lacking(&self, owners: &[OwnerReference]) -> Option<StoredSecret> {
        let servers = self.servers.iter().map(|(_, secret)| secret);
        std::iter::once(&self.authorities)
            .chain(servers)
            .find(|secret| secret.lacks(owners))
            .cloned()
    }
}

/// After a conflict, the next step starts from what the other process has written.
fn ignore_conflict(written: Result<(), ControllerError>) -> Result<(), ControllerError> {
    match written {
        Err(ControllerError::Secret(SecretError::Conflict(secret))) => {
            tracing::debug!(secret, "another process wrote the Secret first");
            Ok(())
        }
        other => other,
    }
}

/// Returns a stream of changes of the Secrets. It watches them by name, so that no permission for others is needed.
fn changes(client: &Client, controller: &Controller) -> SelectAll<BoxStream<'static, ()>> {
    let names = controller.servers.iter().map(|(server, _)| server.secret());
    let namespace = &controller.settings.own_namespace;
    let streams = names.chain([AUTHORITY]).map(|name| {
        let api: Api<PartialObjectMeta<Secret>> = Api::namespaced(client.clone(), namespace);
        let stream = watch_object(api, name).default_backoff();
        let changes = stream.filter_map(move |next| async move {
            match next {
                Ok(_) => Some(()),
                Err(error) => {
                    tracing::warn!(secret = name, error = %chain(&error), "Secret watch failed, retrying");
                    None
                }
            }
        });
        changes.boxed()
    });
    select_all(streams)
}
