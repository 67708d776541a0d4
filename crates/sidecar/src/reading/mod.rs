//! From scrapes to a reading: how long a request that arrives now will wait.
//!
//! The rules are those of TorchServe as measured, in neutral words. Nothing is invented: what cannot be told
//! is `None`.

mod answered;
mod departures;
mod model_tracker;
mod queued;
mod reader;
mod refusals;
mod service_time;

pub use reader::{Reader, Reading};
