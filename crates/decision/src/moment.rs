//! Time as a value.

use std::fmt;
use std::time::Duration;

/// A point on the caller's monotonic clock, counted from an origin that only the caller knows.
///
/// The aggregator takes it from its own monotonic clock once per turn of its loop; a test writes it down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(Duration);

impl Moment {
    /// The origin itself.
    pub const ORIGIN: Moment = Moment(Duration::ZERO);

    /// The moment `since_origin` after the origin.
    pub const fn at(since_origin: Duration) -> Self {
        Self(since_origin)
    }

    /// The moment `seconds` whole seconds after the origin.
    pub const fn from_secs(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }

    /// How long after the origin this is.
    pub const fn since_origin(self) -> Duration {
        self.0
    }

    /// How long ago `earlier` was; zero if it is not in the past.
    pub fn since(self, earlier: Moment) -> Duration {
        self.0.saturating_sub(earlier.0)
    }

    /// This moment and `later` more.
    #[must_use]
    pub fn plus(self, later: Duration) -> Moment {
        Moment(self.0.saturating_add(later))
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3}s", self.0.as_secs_f64())
    }
}
