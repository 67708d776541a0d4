//! Recorded cases: what an autoscaler saw and decided, pass by pass, and whether ours decides the same.
//!
//! A file has a case a line, in JSON: a [`Case`] of the HPA, as `tests/conformance/README.md` describes it, or a
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

pub use case::{Case, CaseMetric, CasePhase, CasePod, CasePolicy, Controller, Expect, Fault, Step};
pub use command::{ReplayOptions, run};
pub use decide::replay;
pub use difference::{Difference, Found};
pub use error::CaseError;
pub use read::{Line, parse_case, parse_line, read_cases, read_lines};
pub use recording::{Deviation, decide_again};

/// Names of cases in which the HPA's integers overflow, and what it does then depends on the processor. Ours
/// saturates: an overload that is too large for its integers must not look like idleness.
pub const SAFER_THAN_THE_HPA: [&str; 4] = [
    "count-above-int32-becomes-zero-on-amd64",
    "count-above-two-to-the-32-becomes-zero-on-amd64",
    "count-above-int64-becomes-zero-on-amd64",
    "sum-of-samples-wraps-int64",
];
