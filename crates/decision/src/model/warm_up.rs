//! The warm-up of a pod: its first requests are slow (caches, compilation), and do not count towards the service time.

use crate::moment::Moment;
use crate::numbers::{to_f32, to_u32_saturating};
use crate::snapshot::visit;

use super::counts::Delta;

/// The warm-up ends after this many completed requests or seconds.
const FIRST_REQUESTS: u64 = 20;
const FIRST_SECONDS: f64 = 10.0;

/// It is extended while the pod's newest requests, at least this many, take this multiple of the fleet's service time,
/// up to this many seconds. Pods that were slow for their first minute ordered further ones, up to seven times the
/// need.
const SLOWER_COMPLETED: f64 = 8.0;
const SLOWER_FACTOR: f64 = 1.5;
const MAX_SECONDS: f64 = 30.0;

/// The warm-up of one pod.
#[derive(Clone, Debug, Default)]
pub(super) struct WarmUp {
    /// The time of the first completed request, and the number of completed requests since.
    since: Option<Moment>,
    pub(super) completed: u64,
    has_ended: bool,
    /// Until the warm-up has ended, the newest requests and the sum of their times in seconds.
    newest_completed: f32,
    newest_served: f32,
}

visit!(WarmUp: since, completed, has_ended, newest_completed, newest_served);

impl WarmUp {
    /// Records completed requests. Returns whether they count. `service` is the fleet's service time in seconds, if the
    /// pod's can be compared with it.
    pub(super) fn learn(&mut self, taken: Moment, delta: &Delta, service: Option<f64>) -> bool {
        let since = *self.since.get_or_insert(taken);
        let age = taken.since(since).as_secs_f64();
        let is_first = self.has_first_requests() && age < FIRST_SECONDS;
        self.completed = self
            .completed
            .saturating_add(to_u32_saturating(delta.completed).into());
        if !self.has_ended {
            let is_slower = self.is_slower(delta, service);
            self.has_ended = !is_first && (age >= MAX_SECONDS || !is_slower);
        }
        self.has_ended
    }

    /// Returns whether the newest requests took much longer than `service`. Only enough of them show that: leaving out
    /// a few because they are long would bias the service time downwards.
    fn is_slower(&mut self, delta: &Delta, service: Option<f64>) -> bool {
        if self.newest_completed >= FIRST_REQUESTS as f32 {
            self.newest_completed /= 2.0;
            self.newest_served /= 2.0;
        }
        self.newest_completed += to_f32(delta.completed);
        self.newest_served += to_f32(delta.served);
        let completed = f64::from(self.newest_completed);
        let slow =
            |service: f64| f64::from(self.newest_served) > SLOWER_FACTOR * service * completed;
        completed >= SLOWER_COMPLETED && service.is_some_and(slow)
    }

    /// Returns whether the pod has completed only its first requests, or none.
    pub(super) fn has_first_requests(&self) -> bool {
        self.completed < FIRST_REQUESTS
    }

    /// Returns whether requests are left out at `now`.
    pub(super) fn is_running(&self, now: Moment) -> bool {
        let is_recent = |since| now.since(since).as_secs_f64() < MAX_SECONDS;
        !self.has_ended && self.since.is_none_or(is_recent)
    }
}
