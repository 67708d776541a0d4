//! From looks to a reading: how long a request that arrives now will wait.
//!
//! The rules are those of TorchServe as measured, in neutral words. Nothing is invented: what cannot be told
//! is `None`.

mod answered;
mod departures;
mod failures;
mod queued;
mod reader;
mod service_time;
mod track;

pub use reader::{Reader, Reading};
