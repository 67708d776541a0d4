//! `pushscale replay`: replays an aggregator's recorded decisions, pass by pass, and reports differences.
//!
//! A file has one [`Recording`](pushscale_api::recording::Recording) per line, in JSON.

mod command;
mod error;
mod read;
mod recording;

pub use command::{ReplayOptions, run};
pub use error::CaseError;
pub use read::{parse_line, read_lines};
pub use recording::{Deviation, replay_recording};
