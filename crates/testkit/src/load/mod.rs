//! Open-loop load: requests are sent on schedule, whether or not earlier ones have completed.
//!
//! A load that waits for responses slows down with the server and hides its queue. This one keeps its schedule,
//! measures what each client sees, and reports how far it fell behind.

mod error;
mod exchange;
mod options;
mod outcome;
mod report;
mod running;
mod schedule;
mod step_start;
mod summary;
mod targets;

pub use error::LoadError;
pub use options::{Arrivals, Connections, LoadOptions, Step};
pub use outcome::{Outcome, Sample};
pub use report::{BadRequests, LoadReport};
pub use running::{Counts, RunningLoad, Stopper};
pub use step_start::StepStart;
pub use summary::{Spread, StepSummary, Summary};
pub use targets::Targets;
