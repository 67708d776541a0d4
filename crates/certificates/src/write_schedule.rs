//! When an object that other clients may change is written again.

use std::time::Duration;

use pushscale_daemon::backoff::Backoff;
use tokio::time::Instant;

/// The minimum time between two writes of an object, unless there is a new CA. It limits conflicts with another client
/// that reverts the object, or with a second process whose directory is older.
pub(crate) const WRITE_INTERVAL: Duration = Duration::from_secs(10);

/// The maximum time between two writes that fail. A policy that forbids the ConfigMap in every namespace stays for
/// months: 10,000 namespaces would have a thousand writes per second.
const MAX_BACKOFF: Duration = Duration::from_secs(300);

/// When one object may be written.
#[derive(Debug)]
pub(crate) struct WriteSchedule {
    next: Instant,
    backoff: Backoff,
}

impl WriteSchedule {
    /// Creates the schedule of an object that may be written now.
    pub(crate) fn new() -> Self {
        Self {
            next: Instant::now(),
            backoff: Backoff::new(WRITE_INTERVAL, MAX_BACKOFF),
        }
    }

    /// Returns the time before which the object should not be written.
    pub(crate) fn next(&self) -> Instant {
        self.next
    }

    /// Permits a write now.
    pub(crate) fn expedite(&mut self) {
        self.next = Instant::now();
    }

    /// Records a write.
    pub(crate) fn succeeded(&mut self) {
        self.backoff.reset();
        self.next = Instant::now() + WRITE_INTERVAL;
    }

    /// Records a write that failed.
    pub(crate) fn failed(&mut self) {
        self.next = Instant::now() + self.backoff.next_delay();
    }
}
