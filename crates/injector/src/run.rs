//! The injector from its first port to its last answer.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use hyper::service::service_fn;
use kube::Client;
use prometheus_client::registry::Registry;
use pushscale_daemon::admin::{Admin, Pages};
use pushscale_daemon::http_server::{self, BindError, Limits};
use pushscale_daemon::readiness::Readiness;
use pushscale_daemon::reply::Reply;
use pushscale_daemon::shutdown::Stop;
use pushscale_daemon::tasks::{Lost, Tasks};
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::admission::Admission;
use crate::config::Config;
use crate::metrics::Metrics;
use crate::{native, tell, tls};

/// Events on their way to the API server.
const TELLINGS_WAITING: usize = 256;

/// How long the parts may take to end.
const GRACE: Duration = Duration::from_secs(6);

/// An injector whose ports are taken.
#[derive(Debug)]
pub struct Bound {
    config: Config,
    admission: TcpListener,
    address: SocketAddr,
    admin: http_server::Bound,
}

/// Why an injector ended.
#[derive(Debug, Error)]
pub enum RunError {
    /// A port is not to be had.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The port for the API server is not to be had.
    #[error("listen on {0} for admission")]
    Listen(SocketAddr, #[source] io::Error),
    /// Signals cannot be handled.
    #[error("handle signals")]
    Signals(#[from] io::Error),
    /// There is no way to the API server.
    #[error("find the API server: run in a pod, or set KUBECONFIG")]
    Cluster(#[source] kube::Error),
    /// A part of it ended that should not have.
    #[error(transparent)]
    Lost(#[from] Lost),
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
    let failed = |source| RunError::Listen(config.listen, source);
    let admission = TcpListener::bind(config.listen).await.map_err(failed)?;
    let address = admission.local_addr().map_err(failed)?;
    tracing::info!(server = "admission", %address, "listening");
    let admin = http_server::bind("admin", config.admin_listen).await?;
    Ok(Bound {
        config,
        admission,
        address,
        admin,
    })
}

impl Bound {
    /// Where the API server asks.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where the pages are.
    pub fn admin_address(&self) -> SocketAddr {
        self.admin.address()
    }

    /// Runs in the cluster of the pod, or of KUBECONFIG, until `stop`.
    ///
    /// # Errors
    /// If there is no cluster, or a part ended that should not have.
    pub async fn run(self, stop: Stop) -> Result<(), RunError> {
        let client = Client::try_default().await.map_err(RunError::Cluster)?;
        self.run_with(Some(client), stop).await
    }

    /// Runs with this way to the API server, or with none: then nothing is told, and whether there are native
    /// sidecars must be set.
    ///
    /// # Errors
    /// If a part ended that should not have.
    pub async fn run_with(self, client: Option<Client>, stop: Stop) -> Result<(), RunError> {
        let mut registry = Registry::default();
        let metrics = Metrics::register(&mut registry);
        let readiness = Readiness::default();
        let mut tasks = Tasks::default();
        let (tellings, told) = mpsc::channel(TELLINGS_WAITING);
        let native = Arc::new(OnceLock::new());
        let version_known = readiness.wait_for_part();
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
        let admission = Arc::new(Admission {
            sidecar: self.config.sidecar,
            native,
            tellings,
            metrics,
        });
        let service = service_fn(move |request| Arc::clone(&admission).answer(request));
        let certified = readiness.wait_for_part();
        let folder = self.config.tls_folder;
        let served = tls::serve(self.admission, folder, service, stop.clone(), certified);
        tasks.spawn("the admission server", served);
        let pages = Admin::new(readiness, registry, NoPages);
        let admin = self.admin.serve(Limits::default(), pages, stop.clone());
        tasks.spawn("the admin server", admin);

        // In this order: once told to stop, the parts end as they should.
        tokio::select! {
            biased;
            () = stop.cancelled() => {}
            lost = tasks.first_lost() => return Err(lost.into()),
        }
        if timeout(GRACE, tasks.all_ended()).await.is_err() {
            tracing::debug!("some parts were cut off");
        }
        Ok(())
    }
}
