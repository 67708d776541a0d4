//! Wires the sidecar together and runs it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use pushscale_daemon::admin::Admin;
use pushscale_daemon::http_server::{self, BindError, Limits};
use pushscale_daemon::process_metrics;
use pushscale_daemon::readiness::Readiness;
use pushscale_daemon::shutdown::Shutdown;
use pushscale_daemon::tasks::{TaskExited, Tasks};
use thiserror::Error;
use tokio::sync::{mpsc, watch};

use crate::config::{Config, PROGRAM};
use crate::drain;
use crate::metrics::Metrics;
use crate::pages::SidecarPages;
use crate::push::{self, Shared};
use crate::scrape_loop::ScrapeLoop;
use crate::scraper::Scraper;
use crate::ticker::Ticker;

/// The timeout of the last push. A pod's grace period is 30 s, and TorchServe's own shutdown comes first.
const LAST_PUSH_TIMEOUT: Duration = Duration::from_secs(3);

/// A sidecar whose port is bound.
#[derive(Debug)]
pub struct Bound {
    config: Config,
    admin: http_server::Bound,
}

/// Why a sidecar ended.
#[derive(Debug, Error)]
#[expect(missing_docs, reason = "each variant's message describes it")]
pub enum RunError {
    #[error(transparent)]
    Bind(#[from] BindError),
    #[error("failed to set up signals and timers")]
    Kernel(#[from] std::io::Error),
    #[error(transparent)]
    TaskExited(#[from] TaskExited),
}

/// Binds the sidecar's port.
///
/// # Errors
/// If the port cannot be bound.
pub async fn bind(config: Config) -> Result<Bound, RunError> {
    let admin = http_server::bind("admin", config.listen).await?;
    Ok(Bound { config, admin })
}

impl Bound {
    /// Returns the address of `/live`, `/ready`, `/metrics`, `/reading` and `/drain`.
    pub fn address(&self) -> SocketAddr {
        self.admin.address()
    }

    /// Scrapes and pushes until `shutdown`, then pushes a last reading marked as *terminating*.
    ///
    /// # Errors
    /// If a task ends before shutdown.
    pub async fn run(self, shutdown: Shutdown) -> Result<(), RunError> {
        let Self { config, admin } = self;
        let mut registry = process_metrics::registry(&PROGRAM);
        let metrics = Metrics::register(&mut registry);
        let readiness = Readiness::default();
        let identity = Arc::new(config.identity);
        let (publish, newest) = watch::channel(None);
        let (requested, longest_requested) = push::requested_intervals();
        let (unreachable_tx, unreachable) = mpsc::channel(1);

        let (drain, drains) = drain::new(config.drain_deadline, metrics.clone(), shutdown.clone());

        let mut tasks = Tasks::default();
        let first_scrape = readiness.latch();
        let scrape_loop = ScrapeLoop {
            scraper: Scraper::new(&config.scrape),
            interval: config.scrape_interval,
            ticker: Ticker::new(config.scrape_interval)?,
            longest_requested,
            publish,
            drains,
            metrics: metrics.clone(),
        };
        tasks.spawn(
            "scrape loop",
            scrape_loop.run(first_scrape, shutdown.clone()),
        );
        let shared = Shared {
            identity: Arc::clone(&identity),
            newest: newest.clone(),
            requested,
            unreachable: unreachable_tx,
            metrics,
        };
        tasks.spawn("push", push::run(config.push, shared, unreachable));
        let pages = SidecarPages {
            identity,
            newest,
            drain,
        };
        let limits = Limits {
            grace: Duration::from_secs(1),
            ..Limits::default()
        };
        let pages = Admin::new(readiness, registry, pages);
        tasks.spawn("admin server", admin.serve(limits, pages, shutdown.clone()));

        if !tasks.run_until(&shutdown, LAST_PUSH_TIMEOUT).await? {
            tracing::warn!("last push timed out");
        }
        Ok(())
    }
}
