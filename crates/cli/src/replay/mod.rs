//! `pushscale replay`: replays recorded decisions, pass by pass, and reports differences.
//!
//! A file has one case per line, in JSON: a [`Case`] of the HPA, as `tests/conformance/README.md` describes it, or a
//! [`Recording`](pushscale_api::recording::Recording) of the aggregator's own.
//!
//! ```no_run
//! use std::{fs::File, io::BufReader};
//! use pushscale_cli::replay::{CaseError, read_cases, replay};
//!
//! # let file = File::open("cases.jsonl").unwrap();
//! for case in read_cases(BufReader::new(file)) {
//!     if let Some(difference) = replay(&case?)? {
//!         println!("{difference}");
//!     }
//! }
//! # Ok::<(), CaseError>(())
//! ```

mod case;
mod command;
mod decide;
mod difference;
mod error;
mod read;
mod recording;
mod samples;

pub use case::{Case, CaseMetric, CasePod, CasePolicy, Controller, Expect, Fault, Step};
pub use command::{ReplayOptions, run};
pub use decide::replay;
pub use difference::{Difference, Found};
pub use error::CaseError;
pub use read::{Line, parse_case, parse_line, read_cases, read_lines};
pub use recording::{Deviation, replay_recording};

/// The names of cases in which the HPA's integers overflow, with a result that depends on the processor. Pushscale's
/// saturate: an overload that is too large for an integer must not look like idleness.
pub const SAFER_THAN_THE_HPA: [&str; 4] = [
    "count-above-int32-becomes-zero-on-amd64",
    "count-above-two-to-the-32-becomes-zero-on-amd64",
    "count-above-int64-becomes-zero-on-amd64",
    "sum-of-samples-wraps-int64",
];
