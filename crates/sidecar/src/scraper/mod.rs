//! Scrapes a server: its metrics page and its queues.

mod management;
mod port;
mod throttle;
mod token;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

pub(crate) use port::AddressError;
pub use port::PortAddress;

use hyper::http::uri::PathAndQuery;
use pushscale_protocol::PortState;
use pushscale_reading::Scrape;

use crate::torchserve::read_page;
use management::Management;
use port::Port;

/// The addresses of a server, and limits of its responses.
#[derive(Clone, Debug)]
pub struct ScrapeConfig {
    /// The metrics port.
    pub metrics: PortAddress,
    /// The path of the metrics page.
    pub metrics_path: PathAndQuery,
    /// The management port, if it is scraped.
    pub management: Option<PortAddress>,
    /// The file with the token of the management port.
    pub management_token_file: Option<std::path::PathBuf>,
    /// The timeout of one response.
    pub timeout: Duration,
    /// The maximum size of one response, in bytes.
    pub max_bytes: usize,
}

/// Scrapes one server over one connection per port.
#[derive(Debug)]
pub struct Scraper {
    started: Instant,
    metrics: Port,
    metrics_path: PathAndQuery,
    management: Option<Management>,
}

impl Scraper {
    /// Creates a scraper. It connects at the first scrape.
    pub fn new(config: &ScrapeConfig) -> Self {
        let port = |address: &PortAddress| Port::new(address, config.timeout, config.max_bytes);
        Self {
            started: Instant::now(),
            metrics: port(&config.metrics),
            metrics_path: config.metrics_path.clone(),
            management: config.management.as_ref().map(|address| {
                let token_file = config.management_token_file.clone();
                Management::new(port(address), config.timeout, token_file)
            }),
        }
    }

    /// The sidecar's clock: the time since this scraper was created.
    pub fn clock(&self) -> Duration {
        self.started.elapsed()
    }

    /// The minimum interval of scrapes, so that they do not take too much of the server's time.
    pub(crate) fn min_interval(&self) -> Duration {
        let management = self.management.as_ref();
        management.map_or(Duration::ZERO, Management::min_interval)
    }

    /// Scrapes both ports. Each request takes at most the timeout; a slow description may take 5 s.
    pub async fn scrape(&mut self) -> Scrape {
        let own_responses =
            self.metrics.succeeded() + self.management.as_ref().map_or(0, Management::succeeded);
        let metrics = self.metrics.get(self.metrics_path.as_str(), None).await;
        let metrics = metrics.and_then(|body| match read_page(&body) {
            page if page.samples == 0 && page.bad_lines > 0 => Err(PortState::Garbled),
            page => Ok(page),
        });
        let management = match (&mut self.management, &metrics) {
            (Some(management), Ok(page)) => Some(management.scrape(page).await),
            // Only a server that refuses connections on both ports is not running.
            (Some(management), Err(PortState::Refused)) => {
                Some(management.ping().await.map(|()| BTreeMap::new()))
            }
            // Without metrics there is no queue latency, so the queues are not needed.
            _ => None,
        };
        Scrape {
            at: self.clock(),
            own_responses,
            metrics,
            management,
        }
    }
}
