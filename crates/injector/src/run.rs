//! The injector from its first port to its last answer.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use hyper::service::service_fn;
use kube::Client;
use prometheus_client::registry::Registry;
use pushscale_daemon::admin::{Admin, Pages};
use pushscale_daemon::http_server::{self, BindError, Limits, Tls};
use pushscale_daemon::readiness::Readiness;
use pushscale_daemon::reply::Reply;
use pushscale_daemon::shutdown::Shutdown;
use pushscale_daemon::tasks::{TaskExited, Tasks};
use pushscale_daemon::tls::{self, ServerCertificate, TlsError};
use thiserror::Error;
use tokio::sync::mpsc;

use crate::admission::Admission;
use crate::config::Config;
use crate::metrics::Metrics;
use crate::{native, tell};

/// Events on their way to the API server.
const TELLINGS_WAITING: usize = 256;

/// Connections at a time; each API server keeps a few open.
const CONNECTIONS: usize = 512;

/// How long an API server may keep a connection without asking.
const IDLE: Duration = Duration::from_secs(120);

/// How long the parts may take to end.
const GRACE: Duration = Duration::from_secs(6);

/// An injector whose ports are taken.
#[derive(Debug)]
pub struct Bound {
    config: Config,
    admission: http_server::Bound,
    admin: http_server::Bound,
}

/// Why an injector ended.
#[derive(Debug, Error)]
pub enum RunError {
    /// A port is not to be had.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// TLS cannot be had.
    #[error("failed to set up TLS")]
    Tls(#[source] TlsError),
    /// Signals cannot be handled.
    #[error("failed to install signal handlers")]
    Signals(#[from] io::Error),
    /// There is no way to the API server.
    #[error("failed to find the API server: run in a pod, or set KUBECONFIG")]
    Cluster(#[source] kube::Error),
    /// A part of it ended that should not have.
    #[error(transparent)]
    TaskExited(#[from] TaskExited),
}

/// The injector has no pages of its own.
#[derive(Debug)]
struct NoPages;

impl Pages for NoPages {
    async fn page(&self, _path: &str) -> Option<Reply> {
        None
    }
}

/// Takes the injector's ports.
///
/// # Errors
/// If one is not to be had.
pub async fn bind(config: Config) -> Result<Bound, RunError> {
    let admission = http_server::bind("admission", config.listen).await?;
    let admin = http_server::bind("admin", config.admin_listen).await?;
    Ok(Bound {
        config,
        admission,
        admin,
    })
}

impl Bound {
    /// Where the API server asks.
    pub fn address(&self) -> SocketAddr {
        self.admission.address()
    }

    /// Where the pages are.
    pub fn admin_address(&self) -> SocketAddr {
        self.admin.address()
    }

    /// Runs in the cluster of the pod, or of KUBECONFIG, until `stop`.
    ///
    /// # Errors
    /// If there is no cluster, or a part ended that should not have.
    pub async fn run(self, stop: Shutdown) -> Result<(), RunError> {
        let client = Client::try_default().await.map_err(RunError::Cluster)?;
        self.run_with(Some(client), stop).await
    }

    /// Runs with this way to the API server, or with none: then nothing is told, and whether there are native
    /// sidecars must be set.
    ///
    /// # Errors
    /// If a part ended that should not have.
    pub async fn run_with(self, client: Option<Client>, stop: Shutdown) -> Result<(), RunError> {
        let mut registry = Registry::default();
        let metrics = Metrics::register(&mut registry);
        let readiness = Readiness::default();
        let mut tasks = Tasks::default();
        let (tellings, told) = mpsc::channel(TELLINGS_WAITING);
        let native = Arc::new(OnceLock::new());
        let version_known = readiness.latch();
        if let Some(set) = self.config.native_sidecar {
            native.get_or_init(|| set);
            drop(version_known);
        } else if let Some(client) = client.clone() {
            // It ends once it knows, so it is none of the parts that must not.
            tokio::spawn(native::ask(client, Arc::clone(&native), version_known));
        }
        if let Some(client) = client {
            tasks.spawn("the events", tell::run(client, told, metrics.clone()));
        }
        let counts = metrics.clone();
        let rejected = move |why| counts.connection_rejected(why);
        let admission = Arc::new(Admission {
            sidecar: self.config.sidecar,
            native,
            tellings,
            metrics,
        });
        let service_of = move |_| {
            let admission = Arc::clone(&admission);
            service_fn(move |request| Arc::clone(&admission).answer(request))
        };
        let certificate = ServerCertificate::default();
        let transport = Tls::new(&certificate).map_err(RunError::Tls)?;
        let follow = tls::watch_directory(self.config.tls_folder, certificate, readiness.latch());
        let limits = Limits {
            connections: CONNECTIONS,
            idle: IDLE,
            ..Limits::default()
        };
        let serve =
            self.admission
                .serve_with(transport, limits, service_of, rejected, stop.clone());
        tasks.spawn("the admission server", serve);
        // It knows no end: it is cut off with the program.
        let certified = stop.clone();
        tasks.spawn("the certificate", async move {
            tokio::select! {
                () = follow => {}
                () = certified.cancelled() => {}
            }
        });
        let pages = Admin::new(readiness, registry, NoPages);
        let admin = self.admin.serve(Limits::default(), pages, stop.clone());
        tasks.spawn("the admin server", admin);

        if !tasks.run_until(&stop, GRACE).await? {
            tracing::debug!("some parts were cut off");
        }
        Ok(())
    }
}
