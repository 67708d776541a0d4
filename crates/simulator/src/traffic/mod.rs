//! How many requests arrive in each second: recorded, or made by a line of a small language.

mod generated;
mod trace;

pub use generated::{Load, LoadError};
pub use trace::{parse_trace, read_trace};

/// How many requests arrive in each second.
#[derive(Clone, Debug, PartialEq)]
pub enum Traffic {
    /// Requests a second on average; chance says how many there are (Poisson).
    Rates(Vec<f64>),
    /// So many, evenly strewn over their second by chance.
    Counts(Vec<u32>),
}

impl Traffic {
    /// How long it lasts.
    pub fn seconds(&self) -> usize {
        match self {
            Self::Rates(rates) => rates.len(),
            Self::Counts(counts) => counts.len(),
        }
    }

    /// Requests in all, on average.
    pub fn requests(&self) -> f64 {
        match self {
            Self::Rates(rates) => rates.iter().sum(),
            Self::Counts(counts) => counts.iter().copied().map(f64::from).sum(),
        }
    }
}
