//! One pod with its workers, queue and counters.

use std::collections::VecDeque;

use super::job::Job;
use super::metrics::Metrics;
use super::view::{PodReading, PodState};

#[derive(Clone, Debug)]
pub(super) struct Pod {
    pub(super) id: u64,
    pub(super) state: PodState,
    /// The creation time.
    pub(super) made: f64,
    /// The time at which the pod becomes ready; infinite if it never does.
    pub(super) ready_at: f64,
    pub(super) speed: f64,
    pub(super) frozen_until: f64,
    /// The time at which each worker has completed its requests.
    workers: Vec<f64>,
    /// All requests in the pod, in order of completion.
    jobs: VecDeque<Job>,
    /// The counters.
    counted: PodReading,
    /// The last reading.
    pub(super) reading: PodReading,
}

impl Pod {
    pub(super) fn new(id: u64, workers: u32, made: f64, ready_at: f64, speed: f64) -> Self {
        Self {
            id,
            state: PodState::Starting,
            made,
            ready_at,
            speed,
            frozen_until: f64::NEG_INFINITY,
            workers: vec![made; workers.max(1) as usize],
            jobs: VecDeque::new(),
            counted: PodReading::default(),
            reading: PodReading::default(),
        }
    }

    pub(super) fn in_system(&self) -> usize {
        self.jobs.len()
    }

    /// Makes the pod ready from `now` on.
    pub(super) fn begin(&mut self, now: f64) {
        self.state = PodState::Serving;
        self.workers.fill(now);
    }

    /// Accepts a request with this service time, or rejects it because `queue` requests are waiting. Returns whether
    /// the pod accepted it. The pod must be settled up to `now`.
    pub(super) fn receive(&mut self, now: f64, service: f64, queue: u32) -> bool {
        self.counted.arrivals += 1;
        if self.jobs.len() >= queue as usize + self.workers.len() {
            self.counted.refused += 1;
            return false;
        }
        let mut first = 0;
        for worker in 1..self.workers.len() {
            if self.workers[worker] < self.workers[first] {
                first = worker;
            }
        }
        let service = service / self.speed;
        let begins = now.max(self.workers[first]);
        let ends = begins + service;
        self.workers[first] = ends;
        let mut place = self.jobs.len();
        while place > 0 && self.jobs[place - 1].ends > ends {
            place -= 1;
        }
        let job = Job {
            arrived: now,
            waits: begins - now,
            service,
            ends,
        };
        self.jobs.insert(place, job);
        true
    }

    /// Completes the requests that are done by `now`.
    pub(super) fn settle(&mut self, now: f64, metrics: &mut Metrics) {
        while let Some(job) = self.jobs.front().copied().filter(|job| job.ends <= now) {
            self.jobs.pop_front();
            self.counted.answered += 1;
            self.counted.waited += job.waits;
            self.counted.sojourned += job.waits + job.service;
            metrics.answered(&job);
        }
    }

    /// Freezes the pod from `now` to `until`.
    pub(super) fn freeze(&mut self, now: f64, until: f64) {
        let lost = until - now;
        self.frozen_until = until;
        for job in &mut self.jobs {
            if job.ends - job.service <= now {
                job.service += lost;
            } else {
                job.waits += lost;
            }
            job.ends += lost;
        }
        for worker in &mut self.workers {
            *worker = worker.max(now) + lost;
        }
    }

    /// Publishes the counters as the pod's reading.
    pub(super) fn tell(&mut self) {
        self.counted.in_system = u32::try_from(self.jobs.len()).unwrap_or(u32::MAX);
        self.reading = self.counted;
    }

    /// Removes and returns the requests in the pod, which will not complete.
    pub(super) fn abandon(&mut self) -> impl Iterator<Item = Job> {
        self.jobs.drain(..)
    }
}
