//! Clients that repeat failed requests.

use super::job::Job;

/// The time between a failure and the first repetition, in seconds. It doubles with each further failure.
const FIRST_DELAY: f64 = 1.0;

#[derive(Debug)]
pub(super) struct Retries {
    /// How often a client repeats a request.
    most: u32,
    /// The requests to repeat, with the time of their next arrival.
    pending: Vec<Job>,
    /// The number of repetitions so far.
    pub(super) count: u64,
}

impl Retries {
    pub(super) fn new(most: u32) -> Self {
        Self {
            most,
            pending: Vec::new(),
            count: 0,
        }
    }

    /// Schedules a request that failed at `at` again. Returns whether the client repeats it.
    pub(super) fn add(&mut self, mut job: Job, at: f64) -> bool {
        if job.failures >= self.most {
            return false;
        }
        job.arrived = at + FIRST_DELAY * f64::from(job.failures).exp2();
        job.failures += 1;
        self.count += 1;
        self.pending.push(job);
        true
    }

    /// Moves the requests that arrive before `until` to `due`. Returns whether there are any.
    pub(super) fn take_due(&mut self, until: f64, due: &mut Vec<Job>) -> bool {
        let before = due.len();
        due.extend(self.pending.extract_if(.., |job| job.arrived < until));
        due.len() > before
    }

    pub(super) fn waiting(&self) -> usize {
        self.pending.len()
    }
}
