//! Derives a reading from consecutive scrapes: the expected queue latency of a request that arrives now, and how many
//! requests have completed.
//!
//! The rules follow TorchServe's measured behaviour, without its metric names. A value that is unknown is `None`. The
//! crate is pure: time is an argument. The sidecar and the simulator run the same code.

mod completed_wait;
mod departures;
mod model_tracker;
mod queue_wait;
mod reader;
mod rejections;
mod responses;
mod scrape;
mod service_time;

pub use model_tracker::{Estimate, ModelScrape, ModelTracker};
pub use reader::{Reader, Reading};
pub use responses::Responses;
pub use scrape::{Counters, Page, Queue, Scrape, ServerCounters};
