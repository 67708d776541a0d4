//! Open-loop load: requests leave on time, whatever the answers do.
//!
//! A load that waits for answers slows down with the server and so hides its queue. This one
//! keeps its schedule, measures what each client sees, and tells how well it kept to it.

mod error;
mod exchange;
mod options;
mod outcome;
mod report;
mod running;
mod schedule;
mod summary;
mod targets;

pub use error::LoadError;
pub use options::{Arrivals, Connections, LoadOptions, Step};
pub use outcome::{Outcome, Sample};
pub use report::{Harm, LoadReport};
pub use running::{Counts, RunningLoad, StepBegan, Stopper};
pub use summary::{Spread, StepSummary, Summary};
pub use targets::{Choice, Targets};
