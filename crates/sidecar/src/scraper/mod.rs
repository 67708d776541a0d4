//! Looking at a server: its metrics page and its queues.

mod management;
mod port;

use std::time::{Duration, Instant};

pub(crate) use port::AddressError;
pub use port::PortAddress;

use hyper::http::uri::PathAndQuery;
use pushscale_protocol::PortState;

use crate::scrape::Scrape;
use crate::torchserve::read_page;
use management::Management;
use port::Port;

/// Where a server is, and how long it may take to answer.
#[derive(Clone, Debug)]
pub struct ScrapeConfig {
    /// The metrics port.
    pub metrics: PortAddress,
    /// The metrics page on it.
    pub metrics_path: PathAndQuery,
    /// The management port, if it is to be read.
    pub management: Option<PortAddress>,
    /// A file that holds the token for the management port.
    pub management_token_file: Option<std::path::PathBuf>,
    /// How long one answer may take.
    pub timeout: Duration,
    /// How large one answer may be, in bytes.
    pub max_bytes: usize,
}

/// Looks at one server again and again, over one connection a port.
#[derive(Debug)]
pub struct Scraper {
    began: Instant,
    metrics: Port,
    metrics_path: PathAndQuery,
    management: Option<Management>,
}

impl Scraper {
    /// Nothing is opened yet.
    pub fn new(config: &ScrapeConfig) -> Self {
        let port = |address: &PortAddress| Port::new(address, config.timeout, config.max_bytes);
        Self {
            began: Instant::now(),
            metrics: port(&config.metrics),
            metrics_path: config.metrics_path.clone(),
            management: config.management.as_ref().map(|address| {
                Management::new(port(address), config.management_token_file.clone())
            }),
        }
    }

    /// The sidecar's clock: since this scraper was made.
    pub fn clock(&self) -> Duration {
        self.began.elapsed()
    }

    /// One scrape. Takes at most the timeout for each of its requests.
    pub async fn scrape(&mut self) -> Scrape {
        let metrics = self.metrics.get(self.metrics_path.as_str(), None).await;
        let metrics = metrics.and_then(|body| match read_page(&body) {
            page if page.samples == 0 && page.bad_lines > 0 => Err(PortState::Garbled),
            page => Ok(page),
        });
        let management = match (&mut self.management, &metrics) {
            (Some(management), Ok(page)) => Some(management.scrape(page).await),
            // Without metrics no latency is told, so the queues are not asked for.
            _ => None,
        };
        Scrape {
            at: self.clock(),
            metrics,
            management,
        }
    }
}
