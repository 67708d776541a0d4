//! Scrapes one TorchServe and pushes its queue latency to every aggregator: scrape, parse, read, push.

mod config;
mod connection;
mod drain;
pub mod exposition;
mod identity;
mod metrics;
mod pages;
mod push;
mod run;
mod scrape_loop;
mod scraper;
mod ticker;
pub mod torchserve;

pub use config::{Config, PROGRAM};
pub use identity::{Identity, SequencedReading};
pub use push::PushConfig;
pub use run::{Bound, RunError, bind};
pub use scraper::{PortAddress, ScrapeConfig, Scraper};
