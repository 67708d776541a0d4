//! A cluster and its load, written down.
//!
//! A scenario is a text file: a key and a value a line, `#` begins a comment. Its name is a sentence: `name`, or the
//! file's.
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

mod draft;
mod keys;
mod random;
mod source;
mod values;
mod write;

pub use draft::Draft;
pub use keys::{KEYS, Key};
pub use random::random_scenario;
pub use source::Source;

pub(crate) use random::random_rates;

use jiff::Timestamp;

use crate::cluster::World;

/// A cluster and its load, with a name.
#[derive(Clone, Debug, PartialEq)]
pub struct Scenario {
    /// What it is about, in words.
    pub name: String,
    /// The cluster and its load.
    pub world: World,
    /// Where the load comes from.
    pub source: Source,
    /// The time of the day at the beginning, for schedules.
    pub start: Option<Timestamp>,
    /// Keys that nobody gave and that matter.
    pub assumed: Vec<&'static str>,
}
