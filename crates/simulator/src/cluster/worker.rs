//! One worker of a pod and its batch.

use super::job::Job;

/// What a worker does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Activity {
    Idle,
    /// It has taken requests and waits for further ones until this time.
    Forming(f64),
    /// It processes its batch.
    Busy {
        start: f64,
        /// The service time of the batch.
        service: f64,
        ends: f64,
    },
}

#[derive(Clone, Debug)]
pub(super) struct Worker {
    pub(super) activity: Activity,
    /// The requests of the batch.
    pub(super) batch: Vec<Job>,
}

impl Worker {
    pub(super) fn new() -> Self {
        Self {
            activity: Activity::Idle,
            batch: Vec::new(),
        }
    }

    /// Returns the time of the worker's next own action; infinite if it waits for a request.
    pub(super) fn next(&self) -> f64 {
        match self.activity {
            Activity::Idle => f64::INFINITY,
            Activity::Forming(until) => until,
            Activity::Busy { ends, .. } => ends,
        }
    }

    pub(super) fn is_busy(&self) -> bool {
        matches!(self.activity, Activity::Busy { .. })
    }

    /// Stops from `now` to `until`.
    pub(super) fn stop(&mut self, now: f64, until: f64) {
        let lost = until - now;
        match &mut self.activity {
            Activity::Idle => {}
            Activity::Forming(deadline) => *deadline = deadline.max(until),
            Activity::Busy { service, ends, .. } => {
                *service += lost;
                *ends += lost;
            }
        }
    }
}
