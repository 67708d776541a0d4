//! Requests that arrive apart from the load, and loads that do not arrive.

use std::ops::Range;

/// Requests of a batch client, which arrive all at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Burst {
    /// The number of requests.
    pub requests: u32,
    /// The second of the first burst.
    pub at: usize,
    /// The interval of further bursts, in seconds; `None` for a single burst.
    pub every: Option<usize>,
}

impl Burst {
    /// Returns the requests that arrive at the start of this second.
    pub fn requests_at(&self, second: usize) -> u32 {
        let due = match (second.checked_sub(self.at), self.every) {
            (Some(passed), Some(every)) => passed.is_multiple_of(every.max(1)),
            (passed, _) => passed == Some(0),
        };
        if due { self.requests } else { 0 }
    }
}

/// A period in which requests do not arrive, because something in front of the pods has failed.
#[derive(Clone, Debug, PartialEq)]
pub struct Outage {
    /// The seconds.
    pub when: Range<usize>,
    /// The share of the requests that do not arrive; 1 for all.
    pub share: f64,
}
