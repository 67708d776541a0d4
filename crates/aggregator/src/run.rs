//! The aggregator from its first port to its last write.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::service::service_fn;
use kube::Client;
use prometheus_client::registry::Registry;
use pushscale_daemon::admin::Admin;
use pushscale_daemon::http_server::{self, BindError, Limits, Plain, Tls};
use pushscale_daemon::readiness::Readiness;
use pushscale_daemon::shutdown::Shutdown;
use pushscale_daemon::tasks::{TaskExited, Tasks};
use pushscale_daemon::tls::{ServerCertificate, TlsError};
use thiserror::Error;
use tokio::sync::mpsc;

use crate::certificates;
use crate::config::{Auth, Config};
use crate::control_loop::ControlLoop;
use crate::event::Event;
use crate::gate::{ClusterReviews, Gate, TokenReviewer};
use crate::ingest::Ingest;
use crate::kube_report;
use crate::kube_scale::ClusterScales;
use crate::metrics::Metrics;
use crate::pages::AggregatorPages;
use crate::report::Report;
use crate::scale_target::ScaleTarget;
use crate::watch;

/// Events on their way to the loop. A turn takes microseconds, so a thousand waiting is a stuck loop, and the
/// sender is better told 429 than kept waiting.
const EVENTS_WAITING: usize = 1024;

/// Statuses and events on their way to the API server.
const REPORTS_WAITING: usize = 1024;

/// How long the parts may take to end.
const GRACE: Duration = Duration::from_secs(10);

/// An aggregator whose ports are taken.
#[derive(Debug)]
pub struct Bound {
    config: Config,
    push: http_server::Bound,
    admin: http_server::Bound,
}

/// Why an aggregator ended.
#[derive(Debug, Error)]
pub enum RunError {
    /// A port is not to be had.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// Signals cannot be handled.
    #[error("failed to install signal handlers")]
    Signals(#[from] std::io::Error),
    /// There is no way to the API server.
    #[error("failed to find the API server: run in a pod, or set KUBECONFIG")]
    Cluster(#[source] kube::Error),
    /// TLS cannot be had.
    #[error("failed to set up TLS")]
    Tls(#[source] TlsError),
    /// A part of it ended that should not have.
    #[error(transparent)]
    TaskExited(#[from] TaskExited),
}

/// Where facts come from and sizes go to, other than a cluster: the demo's processes, a test's records.
pub struct World {
    /// Writes sizes.
    pub scale_target: Arc<dyn ScaleTarget>,
    /// Given the way to send events; it must tell the lists of scalers and rivals once, or nothing is decided.
    pub tell: mpsc::Sender<mpsc::Sender<Event>>,
    /// Takes statuses and events.
    pub reports: mpsc::Sender<Report>,
    /// Who may push, and by what certificate this aggregator is known.
    pub trust: Trust,
}

/// Who may push, and by what certificate this aggregator is known.
#[derive(Clone, Default)]
pub struct Trust {
    /// Shown to whoever pushes; `None`: pushes come over plain HTTP.
    pub certificate: Option<ServerCertificate>,
    /// Says whose a token is; `None`: no token is asked for.
    pub reviewer: Option<Arc<dyn TokenReviewer>>,
}

/// Takes the aggregator's ports.
///
/// # Errors
/// If one is not to be had.
pub async fn bind(config: Config) -> Result<Bound, RunError> {
    let push = http_server::bind("push", config.listen).await?;
    let admin = http_server::bind("admin", config.admin_listen).await?;
    Ok(Bound {
        config,
        push,
        admin,
    })
}

impl Bound {
    /// Where readings are taken.
    pub fn push_address(&self) -> SocketAddr {
        self.push.address()
    }

    /// Where the pages are.
    pub fn admin_address(&self) -> SocketAddr {
        self.admin.address()
    }

    /// Runs against the cluster of the pod, or of KUBECONFIG, until `stop`.
    ///
    /// # Errors
    /// If there is no cluster, or a part ended that should not have.
    pub async fn run(self, stop: Shutdown) -> Result<(), RunError> {
        let client = Client::try_default().await.map_err(RunError::Cluster)?;
        let scales =
            ClusterScales::new(client.clone()).with_deletion_cost(self.config.deletion_cost);
        let scales = Arc::new(scales);
        let (reports, to_tell) = mpsc::channel(REPORTS_WAITING);
        let namespace = self.config.namespace.clone();
        let reviewer: Option<Arc<dyn TokenReviewer>> = match self.config.auth {
            Auth::Token => Some(Arc::new(ClusterReviews::new(client.clone()))),
            Auth::None => None,
        };
        let certificates = self.config.certificates.clone();
        let certificate = certificates.as_ref().map(|_| ServerCertificate::default());
        let trust = Trust {
            certificate: certificate.clone(),
            reviewer,
        };
        let parts = self.parts(scales, reports, trust, &stop)?;
        let Parts {
            mut tasks,
            events,
            readiness,
            metrics,
        } = parts;
        if let (Some(settings), Some(shown)) = (certificates, certificate) {
            let first = readiness.latch();
            let counts = &metrics.certificates;
            certificates::start(&mut tasks, &client, &settings, counts, shown, first);
        }
        let listed = readiness.latch();
        watch::start(&mut tasks, &client, namespace.as_deref(), &events, listed);
        tasks.spawn("the reports", kube_report::run(client, to_tell, metrics));
        drop(events);
        finish(tasks, stop).await
    }

    /// Runs in another world than a cluster, until `stop`.
    ///
    /// # Errors
    /// If a part ended that should not have.
    pub async fn run_in(self, world: World, stop: Shutdown) -> Result<(), RunError> {
        let parts = self.parts(world.scale_target, world.reports, world.trust, &stop)?;
        world.tell.send(parts.events).await.ok();
        finish(parts.tasks, stop).await
    }

    /// Starts what is the same in every world.
    fn parts(
        self,
        scale_target: Arc<dyn ScaleTarget>,
        reports: mpsc::Sender<Report>,
        trust: Trust,
        stop: &Shutdown,
    ) -> Result<Parts, RunError> {
        let mut registry = Registry::default();
        let metrics = Metrics::register(&mut registry);
        let readiness = Readiness::default();
        let (events, taken) = mpsc::channel(EVENTS_WAITING);
        let mut tasks = Tasks::default();
        let gate = Arc::new(Gate::new(trust.reviewer, metrics.clone()));
        let control_loop = ControlLoop::new(
            scale_target,
            events.clone(),
            reports,
            Arc::clone(&gate),
            metrics.clone(),
            readiness.latch(),
        );
        tasks.spawn("the control loop", control_loop.run(taken, stop.clone()));

        let ingest = Arc::new(Ingest {
            gate,
            events: events.clone(),
            readiness: readiness.clone(),
            metrics: metrics.clone(),
        });
        let limits = Limits {
            connections: self.config.max_connections,
            connections_per_address: self.config.max_connections_per_address,
            ..Limits::default()
        };
        let service_of = move |from| {
            let ingest = Arc::clone(&ingest);
            service_fn(move |request| Arc::clone(&ingest).answer(from, request))
        };
        let counts = metrics.clone();
        let rejected = move |why| counts.connection_rejected(why);
        let stopped = stop.clone();
        match trust.certificate {
            Some(certificate) => {
                let tls = Tls::new(&certificate).map_err(RunError::Tls)?;
                let serve = self
                    .push
                    .serve_with(tls, limits, service_of, rejected, stopped);
                tasks.spawn("the push server", serve);
            }
            None => {
                let serve = self
                    .push
                    .serve_with(Plain, limits, service_of, rejected, stopped);
                tasks.spawn("the push server", serve);
            }
        }
        let pages = AggregatorPages {
            events: events.clone(),
        };
        let pages = Admin::new(readiness.clone(), registry, pages);
        let admin = self.admin.serve(Limits::default(), pages, stop.clone());
        tasks.spawn("the admin server", admin);
        Ok(Parts {
            tasks,
            events,
            readiness,
            metrics,
        })
    }
}

struct Parts {
    tasks: Tasks,
    events: mpsc::Sender<Event>,
    readiness: Readiness,
    metrics: Metrics,
}

async fn finish(mut tasks: Tasks, stop: Shutdown) -> Result<(), RunError> {
    // The watches know no end; what matters is that requests in hand are answered.
    if !tasks.run_until(&stop, GRACE).await? {
        tracing::debug!("some parts were cut off");
    }
    Ok(())
}
