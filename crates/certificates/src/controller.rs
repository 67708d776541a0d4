//! Keeps the CA and the servers' certificates in Secrets: reads, does the plan's next step, reads again, until the
//! plan rests. Then it waits for the moment that the plan names, or for a Secret to change.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_util::StreamExt as _;
use futures_util::stream::{BoxStream, SelectAll, select_all};
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::PartialObjectMeta;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::watch_object;
use kube::{Api, Client};
use thiserror::Error;
use tokio::sync::watch;

use crate::ServingCertificate;
use crate::issue::{self, IssueError};
use crate::metrics::{CertificateMetrics, Failure, Subject};
use crate::owner::{self, Owner};
use crate::plan::{self, Rest, Step, Why};
use crate::secrets::{SecretError, Secrets, StoredSecret};
use crate::settings::SelfSigned;
use crate::state::{AuthorityTexts, Held, HeldAuthorities, HeldServer, Server, names_of};

const AUTHORITY: &str = "pushscale-ca";
const TLS: &str = "kubernetes.io/tls";
const OPAQUE: &str = "Opaque";

/// A first start takes four steps. More than this is a quarrel with somebody, which a wait may end.
const MOST_STEPS: usize = 16;

/// After a failure.
const TRY_AGAIN: Duration = Duration::from_secs(5);

/// The clock may be set, and tokio's timer does not see it.
const LOOK_AT_LEAST: Duration = Duration::from_secs(3600);

/// Keeps certificates for ever.
pub(crate) async fn run(
    client: Client,
    settings: SelfSigned,
    mut owner: watch::Receiver<Owner>,
    metrics: CertificateMetrics,
    issued: watch::Sender<Option<Arc<ServingCertificate>>>,
) {
    let keeper = Controller::new(client.clone(), settings, metrics);
    let mut changes = changes(&client, &keeper);
    loop {
        let owners = owner.borrow_and_update().references();
        let wait = match owners {
            Some(owners) => keeper.keep(&owners, &issued).await,
            None => LOOK_AT_LEAST,
        };
        tokio::select! {
            () = tokio::time::sleep(wait.min(LOOK_AT_LEAST)) => {}
            () = owner::changed(&mut owner) => {}
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

/// Why a pass ended early.
#[derive(Debug, Error)]
enum ControllerError {
    #[error(transparent)]
    Secret(#[from] SecretError),
    #[error(transparent)]
    Issue(#[from] IssueError),
    #[error(
        "keep the certificates: something else changes the Secrets as fast as they are written"
    )]
    WriteConflict,
}

/// All Secrets as read.
struct Pass {
    authorities: StoredSecret,
    servers: Vec<(Server, StoredSecret)>,
}

impl Controller {
    fn new(client: Client, settings: SelfSigned, metrics: CertificateMetrics) -> Self {
        let namespace = settings.own_namespace.as_str();
        let mut servers = vec![(Server::Aggregator, names_of(&settings.service, namespace))];
        if let Some(injector) = &settings.injector_service {
            servers.push((Server::Injector, names_of(injector, namespace)));
        }
        Self {
            secrets: Secrets::new(client, namespace),
            servers,
            settings,
            metrics,
        }
    }

    /// Does what is to be done now; gives how long it may wait.
    async fn keep(
        &self,
        owners: &[OwnerReference],
        issued: &watch::Sender<Option<Arc<ServingCertificate>>>,
    ) -> Duration {
        match self.steps(owners).await {
            Ok((rest, found)) => {
                self.metrics.expires(Subject::Ca, rest.authority_ends);
                for (server, ends) in rest.servers_end {
                    self.metrics.expires(server.into(), ends);
                }
                issued.send_if_modified(|held| {
                    let other = held.as_deref() != Some(&found);
                    *held = Some(Arc::new(found));
                    other
                });
                let wait = rest.until.duration_since(SystemTime::now());
                // Certificates tell whole seconds: a moment later it is surely over.
                wait.unwrap_or_default() + Duration::from_millis(10)
            }
            Err(error) => {
                self.metrics.failed(Failure::Controller);
                tracing::warn!(%error, "the certificates are not as they should be, trying again");
                TRY_AGAIN
            }
        }
    }

    async fn steps(
        &self,
        owners: &[OwnerReference],
    ) -> Result<(Rest, ServingCertificate), ControllerError> {
        for _ in 0..MOST_STEPS {
            let pass = self.read().await?;
            let now = SystemTime::now();
            let held = self.held(&pass);
            let step = plan::next_step(now, &held, self.settings.lifetimes);
            match step {
                Step::Rest(rest) => {
                    let Some(lacking) = pass.lacking(owners) else {
                        return Ok((rest, pass.issued()));
                    };
                    raced_is_fine(self.rewrite(lacking, owners).await)?;
                }
                step => raced_is_fine(self.take(step, pass, now, owners).await)?,
            }
        }
        Err(ControllerError::WriteConflict)
    }

    async fn read(&self) -> Result<Pass, SecretError> {
        let authorities = self.secrets.read(AUTHORITY).await?;
        let mut servers = Vec::new();
        for (server, _) in &self.servers {
            servers.push((*server, self.secrets.read(server.secret()).await?));
        }
        Ok(Pass {
            authorities,
            servers,
        })
    }

    fn held(&self, pass: &Pass) -> Held {
        let stored = AuthorityTexts {
            certificates: pass.authorities.text("ca.crt"),
            keys: pass.authorities.text("ca.key"),
        };
        let read =
            |((server, kept), (_, names)): (&(Server, StoredSecret), &(Server, Vec<String>))| {
                let (certificate, key) = (kept.text("tls.crt"), kept.text("tls.key"));
                let bundle = kept.text("ca.crt");
                HeldServer::read(*server, names.clone(), &certificate, &key, bundle)
            };
        Held {
            authorities: HeldAuthorities::read(stored),
            servers: pass.servers.iter().zip(&self.servers).map(read).collect(),
        }
    }

    async fn take(
        &self,
        step: Step,
        pass: Pass,
        now: SystemTime,
        owners: &[OwnerReference],
    ) -> Result<(), ControllerError> {
        let lifetimes = self.settings.lifetimes;
        match step {
            Step::MakeAuthority { keep, why } => {
                let made = issue::authority(now, lifetimes)?;
                let texts = plan::with_new(now, keep, &made, lifetimes);
                self.write_authorities(pass, &texts, owners).await?;
                self.made(Subject::Ca, AUTHORITY, &why);
            }
            Step::WriteAuthorities { texts, why } => {
                self.write_authorities(pass, &texts, owners).await?;
                tracing::info!(secret = AUTHORITY, reason = %why, "the CAs are written");
            }
            Step::Issue {
                server,
                names,
                signer,
                bundle,
                why,
            } => {
                let made = issue::server(now, lifetimes, &names, &signer)?;
                let texts = [
                    ("tls.crt", made.certificate_pem.as_str()),
                    ("tls.key", &made.key_pem),
                    ("ca.crt", &bundle),
                ];
                if let Some(kept) = pass.of(server) {
                    self.secrets.write(kept, TLS, &texts, owners).await?;
                    self.made(server.into(), server.secret(), &why);
                }
            }
            Step::Accompany { server, bundle } => {
                if let Some(kept) = pass.of(server) {
                    let (certificate, key) = (kept.text("tls.crt"), kept.text("tls.key"));
                    let texts = [
                        ("tls.crt", certificate.as_str()),
                        ("tls.key", &key),
                        ("ca.crt", &bundle),
                    ];
                    self.secrets.write(kept, TLS, &texts, owners).await?;
                }
            }
            Step::Rest(_) => {}
        }
        Ok(())
    }

    async fn write_authorities(
        &self,
        pass: Pass,
        texts: &AuthorityTexts,
        owners: &[OwnerReference],
    ) -> Result<(), SecretError> {
        let texts = [
            ("ca.crt", texts.certificates.as_str()),
            ("ca.key", &texts.keys),
        ];
        self.secrets
            .write(pass.authorities, OPAQUE, &texts, owners)
            .await
    }

    /// What is in it stays; it gets its owner.
    async fn rewrite(
        &self,
        kept: StoredSecret,
        owners: &[OwnerReference],
    ) -> Result<(), ControllerError> {
        let keys = match kept.name {
            AUTHORITY => vec!["ca.crt", "ca.key"],
            _ => vec!["tls.crt", "tls.key", "ca.crt"],
        };
        let held: Vec<_> = keys.iter().map(|key| (*key, kept.text(key))).collect();
        let texts: Vec<_> = held
            .iter()
            .map(|(key, text)| (*key, text.as_str()))
            .collect();
        Ok(self.secrets.write(kept, OPAQUE, &texts, owners).await?)
    }

    fn made(&self, which: Subject, secret: &str, why: &Why) {
        self.metrics.renewed(which);
        if why.is_trouble() {
            self.metrics.failed(Failure::InvalidSecret);
            tracing::warn!(secret, reason = %why, "a certificate is made anew");
        } else {
            tracing::info!(secret, reason = %why, "a certificate is made");
        }
    }
}

impl Pass {
    fn of(self, server: Server) -> Option<StoredSecret> {
        let mut servers = self.servers.into_iter();
        servers
            .find(|(held, _)| *held == server)
            .map(|(_, kept)| kept)
    }

    fn lacking(&self, owners: &[OwnerReference]) -> Option<StoredSecret> {
        let servers = self.servers.iter().map(|(_, kept)| kept);
        std::iter::once(&self.authorities)
            .chain(servers)
            .find(|kept| kept.lacks(owners))
            .cloned()
    }

    fn issued(&self) -> ServingCertificate {
        let own = self
            .servers
            .iter()
            .find(|(server, _)| *server == Server::Aggregator);
        let text = |key| own.map_or_else(String::new, |(_, kept)| kept.text(key));
        ServingCertificate {
            certificate_pem: text("tls.crt"),
            key_pem: text("tls.key"),
            ca_bundle_pem: self.authorities.text("ca.crt"),
        }
    }
}

/// Who was slower reads what the other has written.
fn raced_is_fine(done: Result<(), ControllerError>) -> Result<(), ControllerError> {
    match done {
        Err(ControllerError::Secret(SecretError::Raced(secret))) => {
            tracing::debug!(secret, "somebody else was faster");
            Ok(())
        }
        done => done,
    }
}

/// Says that a Secret has changed. By name: others' Secrets are none of our business.
fn changes(client: &Client, keeper: &Controller) -> SelectAll<BoxStream<'static, ()>> {
    let names = keeper.servers.iter().map(|(server, _)| server.secret());
    let namespace = &keeper.settings.own_namespace;
    let streams = names.chain([AUTHORITY]).map(|name| {
        let api: Api<PartialObjectMeta<Secret>> = Api::namespaced(client.clone(), namespace);
        let stream = watch_object(api, name).default_backoff();
        let told = stream.filter_map(move |next| async move {
            match next {
                Ok(_) => Some(()),
                Err(error) => {
                    tracing::warn!(secret = name, %error, "the watch of a Secret failed, trying again");
                    None
                }
            }
        });
        Box::pin(told) as BoxStream<'static, ()>
    });
    select_all(streams)
}
