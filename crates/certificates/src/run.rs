//! Runs the program.

use std::net::SocketAddr;
use std::time::Duration;

use kube::Client;
use pushscale_daemon::admin::{Admin, NoPages};
use pushscale_daemon::exit::RunError;
use pushscale_daemon::http_server::{self, Limits};
use pushscale_daemon::process_metrics;
use pushscale_daemon::readiness::{Readiness, ReadinessLatch};
use pushscale_daemon::shutdown::Shutdown;
use pushscale_daemon::tasks::Tasks;
use tokio::sync::watch;

use crate::ca_bundle::{self, Target, api_service_changes, webhook_changes};
use crate::config::{Config, PROGRAM, Source};
use crate::metrics::CertificateMetrics;
use crate::metrics::Failure;
use crate::{bundle, controller, directory, owner, publish};

/// How long a shutdown can take. A write that it interrupts is repeated after the next start.
const GRACE: Duration = Duration::from_secs(1);

/// The program with a bound port.
#[derive(Debug)]
pub struct Bound {
    config: Config,
    admin: http_server::Bound,
}

/// Binds the port.
///
/// # Errors
///
/// Fails if the port could not be bound.
pub async fn bind(config: Config) -> Result<Bound, RunError> {
    let admin = http_server::bind("admin", config.admin_listen).await?;
    Ok(Bound { config, admin })
}

impl Bound {
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
        let mut registry = process_metrics::registry(&PROGRAM);
        let metrics = CertificateMetrics::register(&mut registry);
        let readiness = Readiness::default();
        let mut tasks = Tasks::default();
        start(
            &mut tasks,
            &client,
            self.config,
            &metrics,
            readiness.latch(),
        );
        let pages = Admin::new(readiness, registry, NoPages);
        let admin = self.admin.serve(Limits::default(), pages, stop.clone());
        tasks.spawn("admin server", admin);

        if !tasks.run_until(&stop, GRACE).await? {
            tracing::debug!("some tasks did not end in time");
        }
        Ok(())
    }
}

/// Spawns the tasks that keep certificates valid and their CA published. `first` is dropped once there is a CA.
fn start(
    tasks: &mut Tasks,
    client: &Client,
    config: Config,
    metrics: &CertificateMetrics,
    first: ReadinessLatch,
) {
    let (sender, newest) = bundle::channel(first);
    let (published, publication) = watch::channel(None);
    let owner = owner::start(tasks, client, config.owner.as_deref());
    match config.source {
        Source::SelfSigned(own) => tasks.spawn_endless(
            "certificate controller",
            controller::run(
                client.clone(),
                own,
                owner.clone(),
                metrics.clone(),
                sender,
                publication,
            ),
        ),
        Source::Directory(path) => tasks.spawn_endless(
            "certificate directory",
            directory::run(path, metrics.clone(), sender),
        ),
    }
    let (bundle, counts) = (newest.clone(), metrics.clone());
    if let Some(name) = config.webhook {
        let failure = Failure::Webhook;
        let target = Target { name, failure };
        let publish = ca_bundle::run(client.clone(), target, bundle, counts, webhook_changes);
        tasks.spawn_endless("webhook CA", publish);
    }
    let (bundle, counts) = (newest.clone(), metrics.clone());
    if let Some(settings) = config.api_service {
        let name = settings.name.clone();
        let failure = Failure::ApiService;
        let target = Target { name, failure };
        let changes = move |found: &_, bundle: &_| api_service_changes(&settings, found, bundle);
        let publish = ca_bundle::run(client.clone(), target, bundle, counts, changes);
        tasks.spawn_endless("APIService CA", publish);
    }
    tasks.spawn_endless(
        "CA publisher",
        publish::run(
            client.clone(),
            config.namespace,
            newest,
            owner,
            metrics.clone(),
            published,
        ),
    );
}
