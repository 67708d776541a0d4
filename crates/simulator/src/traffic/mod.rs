//! The arrivals of each second, from a trace or from a load in a small language.

mod estimate;
mod generated;
mod trace;
mod write;

pub use estimate::gaps;
pub use generated::{Load, LoadError};
pub use trace::{Trace, parse_trace, read_trace};
pub use write::{Unit, rounded, write_trace};

pub use crate::quantity::{MAX_REQUESTS_PER_SECOND, MAX_SECONDS};

/// The arrivals of each second.
#[derive(Clone, Debug, PartialEq)]
pub enum Traffic {
    /// Mean arrival rates, in requests per second. The number of arrivals has a Poisson distribution.
    Rates(Vec<f64>),
    /// Exact numbers of arrivals, uniformly distributed within each second.
    Counts(Vec<u32>),
}

impl Traffic {
    /// Returns the duration in seconds.
    pub fn seconds(&self) -> usize {
        match self {
            Self::Rates(rates) => rates.len(),
            Self::Counts(counts) => counts.len(),
        }
    }

    /// Returns the mean total number of requests.
    pub fn requests(&self) -> f64 {
        match self {
            Self::Rates(rates) => rates.iter().sum(),
            Self::Counts(counts) => counts.iter().copied().map(f64::from).sum(),
        }
    }
}
