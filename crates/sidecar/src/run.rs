//! The sidecar from its first port to its last push.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::registry::Registry;
use pushscale_daemon::admin::Admin;
use pushscale_daemon::http_server::{self, BindError, Limits};
use pushscale_daemon::readiness::Readiness;
use pushscale_daemon::shutdown::Shutdown;
use pushscale_daemon::tasks::{TaskExited, Tasks};
use thiserror::Error;
use tokio::sync::{mpsc, watch};

use crate::config::Config;
use crate::drain;
use crate::metrics::Metrics;
use crate::pages::SidecarPages;
use crate::push::{self, Shared};
use crate::scrape::Scraper;
use crate::ticker::Ticker;
use crate::watch_server::WatchServer;

/// How long the last push may take. A pod's grace period is 30 s and TorchServe's own end comes first.
const GOODBYE: Duration = Duration::from_secs(3);

/// A sidecar whose port is taken.
#[derive(Debug)]
pub struct Bound {
    config: Config,
    admin: http_server::Bound,
}

/// Why a sidecar ended.
#[derive(Debug, Error)]
pub enum RunError {
    /// Its port is not to be had.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The kernel has no signals or no timers for us.
    #[error("failed to set up signals and timers")]
    Kernel(#[from] std::io::Error),
    /// A part of it ended that should not have.
    #[error(transparent)]
    TaskExited(#[from] TaskExited),
}

/// Takes the sidecar's port.
///
/// # Errors
/// If the port is not to be had.
pub async fn bind(config: Config) -> Result<Bound, RunError> {
    let admin = http_server::bind("admin", config.listen).await?;
    Ok(Bound { config, admin })
}

impl Bound {
    /// Where `/live`, `/ready`, `/metrics`, `/reading` and `/drain` are served.
    pub fn address(&self) -> SocketAddr {
        self.admin.address()
    }

    /// Looks and pushes until `stop`, then says *leaving* and ends.
    ///
    /// # Errors
    /// If a part ended that should not have.
    pub async fn run(self, stop: Shutdown) -> Result<(), RunError> {
        let Self { config, admin } = self;
        let mut registry = Registry::default();
        let metrics = Metrics::register(&mut registry);
        let readiness = Readiness::default();
        let identity = Arc::new(config.identity);
        let (publish, newest) = watch::channel(None);
        let (pace_asked, pace) = mpsc::channel(4);
        let (lost_told, lost) = mpsc::channel(1);

        let (drain, drains) = drain::new(config.drain_deadline, metrics.clone(), stop.clone());

        let mut tasks = Tasks::default();
        let first_look = readiness.latch();
        let watch_server = WatchServer {
            scraper: Scraper::new(&config.scrape),
            interval: config.interval,
            ticker: Ticker::new(config.interval)?,
            pace,
            publish,
            drains,
            metrics: metrics.clone(),
        };
        tasks.spawn(
            "the look at the server",
            watch_server.run(first_look, stop.clone()),
        );
        let shared = Shared {
            identity: Arc::clone(&identity),
            newest: newest.clone(),
            pace: pace_asked,
            lost: lost_told,
            metrics,
        };
        tasks.spawn("the push", push::run(config.push, shared, lost));
        let page = SidecarPages {
            identity,
            newest,
            drain,
        };
        // Probes, the drain's hook and a person's curl: few connections, and a small memory. A stranger that holds all it
        // may keeps neither the kubelet's probe nor its hook out.
        let limits = Limits {
            connections: 64,
            connections_per_address: 8,
            grace: Duration::from_secs(1),
            ..Limits::default()
        };
        let pages = Admin::new(readiness, registry, page);
        tasks.spawn("the admin server", admin.serve(limits, pages, stop.clone()));

        if !tasks.run_until(&stop, GOODBYE).await? {
            tracing::warn!("the last push was cut off");
        }
        Ok(())
    }
}
