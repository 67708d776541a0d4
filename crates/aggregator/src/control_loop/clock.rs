//! The time of the control loop.

use std::time::Duration;

use jiff::Timestamp;
use pushscale_decision::Moment;
use tokio::time::Instant;

use super::effect::unix_time;

/// Moments begin at the Unix epoch, so that the times that decisions divide a week into are the same for all
/// aggregators. A wall clock that is set afterwards does not change them.
#[derive(Debug)]
pub(super) struct Clock {
    start: Instant,
    /// The time since the Unix epoch at `start`.
    pub(super) unix: Duration,
}

impl Clock {
    pub(super) fn start() -> Self {
        Self {
            start: Instant::now(),
            unix: unix_time(Timestamp::now()),
        }
    }

    pub(super) fn now(&self) -> Moment {
        Moment::at(self.unix + self.start.elapsed())
    }

    pub(super) fn instant(&self, moment: Moment) -> Instant {
        self.start + moment.since_origin().saturating_sub(self.unix)
    }
}
