//! The counts of requests between two readings, and over some seconds.

/// The counts between two readings of one pod. Times are in seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Delta {
    pub(crate) arrivals: f64,
    /// Completed requests, the sum of their waits, and the sum of their times in a worker.
    pub(crate) completed: f64,
    pub(crate) waited: f64,
    pub(crate) served: f64,
}

impl Delta {
    /// Removes completed requests and their times.
    pub(crate) fn clear_completed(&mut self) {
        *self = Self {
            arrivals: self.arrivals,
            ..Self::default()
        };
    }

    pub(super) fn times(self, share: f64) -> Self {
        Self {
            arrivals: self.arrivals * share,
            completed: self.completed * share,
            waited: self.waited * share,
            served: self.served * share,
        }
    }
}

/// The sums of some seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Window {
    pub(crate) arrivals: f64,
    pub(crate) completed: f64,
    pub(crate) waited: f64,
    pub(crate) served: f64,
    /// The covered seconds; fewer than the window where pods have not reported.
    pub(crate) seconds: f64,
}

impl Window {
    pub(super) fn add(&mut self, other: &Self) {
        self.arrivals += other.arrivals;
        self.completed += other.completed;
        self.waited += other.waited;
        self.served += other.served;
        self.seconds += other.seconds;
    }

    /// Returns the arrivals per second.
    pub(crate) fn rate(&self) -> f64 {
        self.arrivals / self.seconds.max(1e-9)
    }
}
