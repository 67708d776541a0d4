//! Derives a reading from consecutive scrapes: the expected queue latency of a request that arrives now.
//!
//! The rules follow TorchServe's measured behaviour, without its metric names. A value that is unknown is `None`.

mod completed_wait;
mod departures;
mod model_tracker;
mod queue_wait;
mod reader;
mod refusals;
mod service_time;

pub use reader::{Reader, Reading};
