//! A cluster and its load as a text file.
//!
//! Each line has a key and a value, and `#` starts a comment. The title of a scenario is a sentence: the key `name`, or
//! the name of the file.
//!
//! ```text
//! # Four times the load for half an hour.
//! load: step:100->400@600,400->100@2400
//! seconds: 3600
//! service: 100ms
//! workers: 4
//! pods: 5
//! target: 50ms
//! ```
//!
//! [`KEYS`] lists the keys. All errors are reported at once, with file and line. Unknown keys are errors.
//! `docs/SIMULATING.md` is the guide.

mod clients;
mod draft;
mod faults;
mod keys;
pub mod random;
mod servers;
mod source;
mod sweep;
mod values;
mod write;

pub use draft::Draft;
pub use keys::{KEYS, Key};
pub use random::random_scenario;
pub use source::Source;
pub use sweep::Sweep;

pub(crate) use random::random_rates;

use std::ops::Range;

use jiff::Timestamp;

use crate::cluster::ClusterSpec;

/// A cluster and its load, with a name.
#[derive(Clone, Debug, PartialEq)]
pub struct Scenario {
    /// The title.
    pub name: String,
    /// The cluster and its load.
    pub cluster: ClusterSpec,
    /// The source of the load.
    pub source: Source,
    /// The start time, for schedules.
    pub start: Option<Timestamp>,
    /// Seconds of a trace whose arrivals are unknown and are estimated.
    pub unknown: Vec<Range<usize>>,
    /// Keys that are not set and whose defaults affect the result.
    pub assumed: Vec<&'static str>,
}
