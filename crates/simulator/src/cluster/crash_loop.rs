//! A pod whose container crashes again and again.

/// The crashes of one pod, in seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct CrashLoop {
    /// The time of the next crash.
    pub(super) next: f64,
    /// The time between a crash and the next start.
    pub(super) down: f64,
    /// The time between a start and the next crash.
    pub(super) up: f64,
}

impl CrashLoop {
    /// Returns the time of the next start if the container crashes now, and schedules the crash after it.
    pub(super) fn crash(&mut self, now: f64) -> Option<f64> {
        if now < self.next {
            return None;
        }
        self.next = now + self.down + self.up;
        Some(now + self.down)
    }
}
