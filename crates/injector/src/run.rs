//! Runs the injector.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use hyper::service::service_fn;
use kube::Client;
use pushscale_daemon::admin::{Admin, NoPages};
use pushscale_daemon::exit::RunError;
use pushscale_daemon::http_server::{self, Limits, Tls};
use pushscale_daemon::log_limiter::LogLimiter;
use pushscale_daemon::process_metrics;
use pushscale_daemon::readiness::Readiness;
use pushscale_daemon::shutdown::Shutdown;
use pushscale_daemon::tasks::Tasks;
use pushscale_daemon::tls::{self, ServerCertificate};
use tokio::sync::mpsc;

use crate::budget::Budget;
use crate::config::{Config, PROGRAM};
use crate::metrics::Metrics;
use crate::server::Admission;
use crate::{events, native_sidecar};

/// The maximum number of events that wait to be written.
const MAX_WAITING_EVENTS: usize = 256;

/// The connection limit.
const CONNECTIONS: usize = 512;

/// The connection limit of one address. An API server opens a connection for each pod that is created at the same time,
/// and keeps a few of them.
const CONNECTIONS_PER_ADDRESS: usize = 256;

/// How long an API server can keep an idle connection.
const IDLE: Duration = Duration::from_secs(120);

/// How long a shutdown can take.
const GRACE: Duration = Duration::from_secs(6);

/// An injector with bound ports.
#[derive(Debug)]
pub struct Bound {
    config: Config,
    admission: http_server::Bound,
    admin: http_server::Bound,
}

/// Binds the injector's ports.
///
/// # Errors
///
/// Fails if a port could not be bound.
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
    /// Returns the address of the webhook.
    pub fn address(&self) -> SocketAddr {
        self.admission.address()
    }

    /// Returns the address of the admin pages.
    pub fn admin_address(&self) -> SocketAddr {
        self.admin.address()
    }

    /// Runs until `stop`, with the API server of the pod's cluster or of KUBECONFIG.
    ///
    /// # Errors
    ///
    /// Fails if there is no cluster, or if a task exited unexpectedly.
    pub async fn run(self, stop: Shutdown) -> Result<(), RunError> {
        let client = pushscale_kubernetes::client().await?;
        self.run_with(Some(client), stop).await
    }

    /// Runs until `stop` with this client. Without one, no events are written, and `native_sidecar` must be set.
    ///
    /// # Errors
    ///
    /// Fails if a task exited unexpectedly.
    pub async fn run_with(self, client: Option<Client>, stop: Shutdown) -> Result<(), RunError> {
        let mut registry = process_metrics::registry(&PROGRAM);
        let metrics = Metrics::register(&mut registry);
        let readiness = Readiness::default();
        let mut tasks = Tasks::default();
        let (events, waiting_events) = mpsc::channel(MAX_WAITING_EVENTS);
        let native_sidecar = Arc::new(OnceLock::new());
        let version_known = readiness.latch();
        if let Some(set) = self.config.native_sidecar {
            native_sidecar.get_or_init(|| set);
            drop(version_known);
        } else if let Some(client) = client.clone() {
            // Not one of `tasks`, since it ends once the version is known.
            let detect = native_sidecar::detect(client, Arc::clone(&native_sidecar), version_known);
            tokio::spawn(detect);
        }
        if let Some(client) = client {
            let write = events::run(client, waiting_events, metrics.clone());
            tasks.spawn("event writer", write);
        }
        let counts = metrics.clone();
        let rejected = move |rejection| counts.connection_rejected(rejection);
        let admission = Arc::new(Admission {
            sidecar: self.config.sidecar,
            native_sidecar,
            events,
            metrics,
            rejection_log: LogLimiter::default(),
        });
        let budget = Arc::new(Budget::new());
        let service_of = move |address, _: &_| {
            let admission = Arc::clone(&admission);
            let budget = budget.of(address);
            service_fn(move |request| Arc::clone(&admission).answer(budget.clone(), request))
        };
        let certificate = ServerCertificate::default();
        let transport = Tls::new(&certificate).map_err(RunError::Tls)?;
        let follow = tls::watch_directory(self.config.tls_dir, certificate, readiness.latch());
        let limits = Limits {
            connections: CONNECTIONS,
            connections_per_address: CONNECTIONS_PER_ADDRESS,
            idle: IDLE,
            ..Limits::default()
        };
        let serve =
            self.admission
                .serve_with(transport, limits, service_of, rejected, stop.clone());
        tasks.spawn("admission server", serve);
        let until_shutdown = stop.clone();
        tasks.spawn("certificate watch", async move {
            tokio::select! {
                () = follow => {}
                () = until_shutdown.cancelled() => {}
            }
        });
        let pages = Admin::new(readiness, registry, NoPages);
        let admin = self.admin.serve(Limits::default(), pages, stop.clone());
        tasks.spawn("admin server", admin);

        if !tasks.run_until(&stop, GRACE).await? {
            tracing::debug!("some tasks did not end in time");
        }
        Ok(())
    }
}
