//! Reads one TorchServe and pushes its queue latency to every aggregator: scrape, parse, read, push.

mod config;
mod connection;
mod drain;
pub mod exposition;
mod identity;
pub mod look;
mod metrics;
mod pages;
mod push;
pub mod reading;
mod run;
mod scrape;
mod ticker;
pub mod torchserve;
mod watch_server;

pub use config::{Config, PREFIX};
pub use identity::{Identity, Numbered};
pub use push::PushConfig;
pub use run::{Bound, RunError, bind};
pub use scrape::{PortAddress, ScrapeConfig, Scraper};
