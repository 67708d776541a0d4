//! Binds, runs and shuts down the aggregator.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::service::service_fn;
use pushscale_daemon::admin::Admin;
use pushscale_daemon::exit::RunError;
use pushscale_daemon::heartbeat::Heartbeat;
use pushscale_daemon::http_server::{self, Limits, Plain, Tls};
use pushscale_daemon::process_metrics;
use pushscale_daemon::readiness::Readiness;
use pushscale_daemon::shutdown::Shutdown;
use pushscale_daemon::tasks::Tasks;
use pushscale_daemon::tls::{self, ServerCertificate};
use pushscale_external_metrics::{Endpoint, Store, serve_keda};
use tokio::sync::{Notify, mpsc};

use crate::auth::{Authenticator, ConnectionToken, KubeTokenReviewer, TokenReviewer};
use crate::config::{Auth, Config, PROGRAM};
use crate::control_loop::{Backends, ControlLoop, MAX_IDLE};
use crate::event::Event;
use crate::history::History;
use crate::ingest::{Ingest, body_budget};
use crate::kube_scale::KubeScaleTarget;
use crate::leadership::Leadership;
use crate::metrics::{LiveValues, Metrics};
use crate::pacing::Pacing;
use crate::pages::AggregatorPages;
use crate::report::Report;
use crate::scale_target::ScaleTarget;
use crate::status_page::StatusPage;
use crate::take_over;
use crate::watch;
use crate::writers::Writers;

/// Capacity of the control loop's event queue. A turn takes microseconds, so a full queue means that the loop is stuck,
/// and a push is better rejected with 429 than kept waiting.
const EVENT_QUEUE: usize = 1024;

/// Capacity of the queue of statuses and events for the API server.
const REPORT_QUEUE: usize = 1024;

/// The control loop is stalled after this time without progress. Its turns take milliseconds: on a machine that is much
/// slower, it must not count as stalled.
pub(crate) const STALLED_AFTER: Duration = Duration::from_secs(30);

const _: () = assert!(STALLED_AFTER.as_secs() >= 5 * MAX_IDLE.as_secs());

/// How long the tasks may take to shut down: to answer requests, to write the last reports and to release the Lease.
/// The process exits within 2 s: what follows took up to 84 ms on a busy machine.
pub(crate) const SHUTDOWN_GRACE: Duration = Duration::from_millis(1900);

/// An aggregator whose ports are bound.
#[derive(Debug)]
pub struct Bound {
    config: Config,
    push: http_server::Bound,
    admin: http_server::Bound,
    external_metrics: Option<Endpoint>,
    keda: Option<http_server::Bound>,
    /// The store that both servers read and the control loop writes; `None` if neither is served.
    store: Option<Store>,
}

/// What replaces the cluster in the demo and in tests.
pub struct Backend {
    /// Writes replica counts.
    pub scale_target: Arc<dyn ScaleTarget>,
    /// Receives the sender of events once. The control loop decides nothing until it has received
    /// [`Event::ScalersListed`] and [`Event::HpasListed`].
    pub event_sender: mpsc::Sender<mpsc::Sender<Event>>,
    /// Receives statuses and events.
    pub reports: mpsc::Sender<Report>,
    /// TLS and authentication of the push port.
    pub push_security: PushSecurity,
}

/// TLS and authentication of the push port.
#[derive(Clone, Default)]
pub struct PushSecurity {
    /// The server certificate; `None` serves plain HTTP.
    pub certificate: Option<ServerCertificate>,
    /// Reviews tokens; `None` accepts pushes without a token.
    pub reviewer: Option<Arc<dyn TokenReviewer>>,
}

/// Binds the aggregator's ports.
///
/// # Errors
/// If a port cannot be bound.
pub async fn bind(config: Config) -> Result<Bound, RunError> {
    let push = http_server::bind("push", config.listen).await?;
    let admin = http_server::bind("admin", config.admin_listen).await?;
    let external_metrics = match &config.external_metrics {
        Some(settings) => Some(Endpoint {
            bound: http_server::bind("external metrics", settings.listen).await?,
            tls_dir: settings.tls_dir.clone(),
        }),
        None => None,
    };
    let keda = match config.keda_listen {
        Some(address) => Some(http_server::bind("keda", address).await?),
        None => None,
    };
    let is_stored = external_metrics.is_some() || keda.is_some();
    Ok(Bound {
        config,
        push,
        admin,
        external_metrics,
        keda,
        store: is_stored.then(Store::default),
    })
}

impl Bound {
    /// The address of the push port.
    pub fn push_address(&self) -> SocketAddr {
        self.push.address()
    }

    /// The address of the admin port.
    pub fn admin_address(&self) -> SocketAddr {
        self.admin.address()
    }

    /// Runs against the pod's own cluster, or the one in KUBECONFIG, until shutdown.
    ///
    /// # Errors
    /// If no cluster is configured, or a task exited that should have kept running.
    pub async fn run(mut self, shutdown: Shutdown) -> Result<(), RunError> {
        let client = pushscale_kubernetes::client().await?;
        let scale_target = KubeScaleTarget::new(client.clone())
            .with_pod_deletion_cost(self.config.pod_deletion_cost);
        let scale_target = Arc::new(scale_target);
        let (reports, report_queue) = mpsc::channel(REPORT_QUEUE);
        let watch_namespace = self.config.watch_namespace.clone();
        let reviewer: Option<Arc<dyn TokenReviewer>> = match self.config.auth {
            Auth::Token => Some(Arc::new(KubeTokenReviewer::new(client.clone()))),
            Auth::None => None,
        };
        let tls_dir = self.config.tls_dir.clone();
        let certificate = tls_dir.as_ref().map(|_| ServerCertificate::default());
        let push_security = PushSecurity {
            certificate: certificate.clone(),
            reviewer,
        };
        let external_metrics = self.external_metrics.take();
        let (keda, store) = (self.keda.take(), self.store.take());
        let lease = self.config.leader_election.clone();
        let leadership = match &lease {
            Some(_) => Leadership::following(),
            None => Leadership::unlimited(),
        };
        let reread = Arc::new(Notify::new());
        let Running {
            mut tasks,
            events,
            readiness,
            metrics_api,
            heartbeat,
            metrics,
        } = self.start(
            scale_target.clone(),
            reports,
            push_security,
            (leadership.clone(), Arc::clone(&reread), store.clone()),
            &shutdown,
        )?;
        if let (Some(directory), Some(certificate)) = (tls_dir, certificate) {
            let watch = tls::watch_directory(directory, certificate, readiness.latch());
            tasks.spawn_endless("certificate watch", watch);
        }
        if let (Some(bound), Some(store)) = (keda, store.clone()) {
            let serve = serve_keda(bound, store, shutdown.clone());
            tasks.spawn("KEDA server", serve);
        }
        if let (Some(endpoint), Some(store)) = (external_metrics, store) {
            let metrics = metrics.clone();
            pushscale_external_metrics::start(
                &mut tasks,
                client.clone(),
                store,
                endpoint,
                move |took, has_value| metrics.external_metric_responded(took, has_value),
                &metrics_api,
                shutdown.clone(),
            )
            .map_err(RunError::Tls)?;
        }
        let namespace = watch_namespace.as_deref();
        watch::start(
            &mut tasks,
            &client,
            namespace,
            scale_target,
            reread,
            events.clone(),
            metrics.clone(),
        );
        let writers = Writers {
            client,
            leadership,
            readiness,
            heartbeat,
            metrics,
            shutdown: shutdown.clone(),
        };
        writers.start(&mut tasks, report_queue, lease, events);
        finish(tasks, shutdown).await
    }

    /// Runs with `backend` instead of a cluster, until shutdown.
    ///
    /// # Errors
    /// If a task exited that should have kept running.
    pub async fn run_with(self, backend: Backend, shutdown: Shutdown) -> Result<(), RunError> {
        let running = self.start(
            backend.scale_target,
            backend.reports,
            backend.push_security,
            (Leadership::unlimited(), Arc::default(), None),
            &shutdown,
        )?;
        backend.event_sender.send(running.events).await.ok();
        finish(running.tasks, shutdown).await
    }

    /// Starts the tasks that do not depend on the backend.
    fn start(
        self,
        scale_target: Arc<dyn ScaleTarget>,
        reports: mpsc::Sender<Report>,
        push_security: PushSecurity,
        (leadership, reread, external_metrics): (Leadership, Arc<Notify>, Option<Store>),
        shutdown: &Shutdown,
    ) -> Result<Running, RunError> {
        let mut registry = process_metrics::registry(&PROGRAM);
        let mut metrics = Metrics::register(&mut registry);
        if self.config.scaler_metrics {
            metrics = metrics.with_scaler_metrics(&mut registry);
        }
        // Pushes are accepted once everything is listed. The pod is ready once most pods have pushed.
        let listed = Readiness::default();
        let readiness = Readiness::default();
        let heartbeat = Heartbeat::new(STALLED_AFTER);
        let (events, event_queue) = mpsc::channel(EVENT_QUEUE);
        let mut tasks = Tasks::default();
        let (history, history_sender, recording) = History::start(metrics.clone());
        tasks.spawn("history", recording);
        if let Some(peers) = self.config.peers {
            let take_over = take_over::run(peers, history.clone());
            tasks.spawn_endless("takeover of records", take_over);
        }
        let limits = Limits {
            connections: self.config.max_connections,
            connections_per_address: self.config.max_connections_per_address,
            // A push takes milliseconds.
            detect_hang_up: false,
            ..Limits::default()
        };
        let authenticator = Arc::new(Authenticator::new(
            push_security.reviewer,
            &limits,
            metrics.clone(),
        ));
        let control_loop = ControlLoop::new(
            Backends {
                scale_target,
                events_tx: events.clone(),
                reports,
                leadership: leadership.clone(),
                reread,
                external_metrics,
                history: history_sender,
                heartbeat: heartbeat.clone(),
            },
            Arc::clone(&authenticator),
            metrics.clone(),
            listed.latch(),
            readiness.latch(),
        );
        tasks.spawn(
            "control loop",
            control_loop.run(event_queue, shutdown.clone()),
        );

        let live_values = LiveValues {
            events: events.downgrade(),
            authenticator: Arc::clone(&authenticator),
            connections: self.push.open_connections(),
        };
        live_values.register(&mut registry);
        let ingest = Arc::new(Ingest {
            authenticator,
            events: events.clone(),
            listed,
            pacing: Pacing::new(self.config.max_pushes_per_second, metrics.clone()),
            budget: body_budget(&limits),
            metrics: metrics.clone(),
        });
        let tls = push_security.certificate.is_some();
        let service_for = move |address| {
            let ingest = Arc::clone(&ingest);
            let budget = ingest.budget.for_address(address);
            let connection = Arc::new(ConnectionToken::new(tls));
            service_fn(move |request| {
                let (connection, budget) = (Arc::clone(&connection), budget.clone());
                Arc::clone(&ingest).handle(address, connection, budget, request)
            })
        };
        let connection_metrics = metrics.clone();
        let rejected = move |reason| connection_metrics.rejected_connections.increment(reason);
        let push_shutdown = shutdown.clone();
        match push_security.certificate {
            Some(certificate) => {
                let tls = Tls::new(&certificate).map_err(RunError::Tls)?;
                let service_for = move |address, _: &_| service_for(address);
                let serve = self
                    .push
                    .serve_with(tls, limits, service_for, rejected, push_shutdown);
                tasks.spawn("push server", serve);
            }
            None => {
                let service_for = move |address, _: &_| service_for(address);
                let serve =
                    self.push
                        .serve_with(Plain, limits, service_for, rejected, push_shutdown);
                tasks.spawn("push server", serve);
            }
        }
        let pages = AggregatorPages {
            events: events.clone(),
            status_page: StatusPage::new(history, leadership, shutdown.clone()),
        };
        let metrics_api = Readiness::default();
        let admin = Admin::new(readiness.clone(), registry, pages)
            .with_optional_parts(metrics_api.clone())
            .with_heartbeat(heartbeat.clone());
        let admin = self.admin.serve(Limits::default(), admin, shutdown.clone());
        tasks.spawn("admin server", admin);
        Ok(Running {
            tasks,
            events,
            readiness,
            metrics_api,
            heartbeat,
            metrics,
        })
    }
}

struct Running {
    tasks: Tasks,
    events: mpsc::Sender<Event>,
    /// Whether it may lead.
    readiness: Readiness,
    /// Whether the API server may call it, which is no condition for leading.
    metrics_api: Readiness,
    heartbeat: Heartbeat,
    metrics: Metrics,
}

async fn finish(mut tasks: Tasks, shutdown: Shutdown) -> Result<(), RunError> {
    if !tasks.run_until(&shutdown, SHUTDOWN_GRACE).await? {
        tracing::debug!("tasks aborted at shutdown");
    }
    Ok(())
}
