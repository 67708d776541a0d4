//! One pod with its workers, queue and counters.

use std::collections::VecDeque;

use super::batching::Batching;
use super::job::Job;
use super::metrics::Metrics;
use super::view::{PodReading, PodState};
use super::worker::{Activity, Worker};

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
    /// Workers take no requests before this time.
    stopped_until: f64,
    batching: Batching,
    workers: Vec<Worker>,
    /// The requests that no worker has taken, in order of arrival.
    queue: VecDeque<Job>,
    in_system: usize,
    /// The time of the next action of any worker.
    next: f64,
    /// The counters.
    counted: PodReading,
    /// The last reading.
    pub(super) reading: PodReading,
}

impl Pod {
    pub(super) fn new(
        id: u64,
        workers: u32,
        batching: Batching,
        made: f64,
        ready_at: f64,
        speed: f64,
    ) -> Self {
        Self {
            id,
            state: PodState::Starting,
            made,
            ready_at,
            speed,
            frozen_until: f64::NEG_INFINITY,
            stopped_until: f64::NEG_INFINITY,
            batching,
            workers: vec![Worker::new(); workers.max(1) as usize],
            queue: VecDeque::new(),
            in_system: 0,
            next: f64::INFINITY,
            counted: PodReading::default(),
            reading: PodReading::default(),
        }
    }

    pub(super) fn in_system(&self) -> usize {
        self.in_system
    }

    /// Makes the pod ready.
    pub(super) fn begin(&mut self) {
        self.state = PodState::Serving;
    }

    /// Accepts a request, or rejects it because `queue` requests are waiting. Returns whether the pod accepted it. The
    /// pod must be settled up to `now`.
    pub(super) fn receive(&mut self, now: f64, job: Job, queue: u32) -> bool {
        self.counted.arrivals += 1;
        let taken_at_once = self.workers.iter().any(|worker| !worker.is_busy())
            && self.queue.is_empty()
            && now >= self.stopped_until;
        if !taken_at_once && self.queue.len() >= queue as usize {
            self.counted.refused += 1;
            return false;
        }
        self.in_system += 1;
        self.queue.push_back(job);
        self.take(now);
        true
    }

    /// Processes everything that happens up to `now`.
    pub(super) fn settle(&mut self, now: f64, metrics: &mut Metrics) {
        while self.next <= now {
            let at = self.next;
            if at >= self.stopped_until && !self.queue.is_empty() {
                self.take(at);
            }
            for index in 0..self.workers.len() {
                if self.workers[index].next() > at {
                    continue;
                }
                match self.workers[index].activity {
                    Activity::Idle => {}
                    Activity::Forming(_) => self.start(index, at),
                    Activity::Busy { begun, service, .. } => {
                        self.complete(index, begun, service, metrics);
                        self.take(at);
                    }
                }
            }
            self.schedule(at);
        }
    }

    /// Lets workers take waiting requests. Only one worker at a time waits for its batch to fill.
    fn take(&mut self, now: f64) {
        if now >= self.stopped_until {
            let forming = |worker: &Worker| matches!(worker.activity, Activity::Forming(_));
            while !self.queue.is_empty() {
                let found = self.workers.iter().position(forming);
                let idle = |worker: &Worker| worker.activity == Activity::Idle;
                let Some(index) = found.or_else(|| self.workers.iter().position(idle)) else {
                    break;
                };
                let worker = &mut self.workers[index];
                let size = self.batching.size as usize;
                let count = (size - worker.batch.len()).min(self.queue.len());
                worker.batch.extend(self.queue.drain(..count));
                if worker.batch.len() >= size || self.batching.delay == 0.0 {
                    self.start(index, now);
                } else if found.is_none() {
                    worker.activity = Activity::Forming(now + self.batching.delay);
                }
            }
        }
        self.schedule(now);
    }

    /// Starts to process the batch of a worker.
    fn start(&mut self, index: usize, now: f64) {
        let worker = &mut self.workers[index];
        let Some(first) = worker.batch.first() else {
            worker.activity = Activity::Idle;
            return;
        };
        let service = first.service * self.batching.factor(worker.batch.len()) / self.speed;
        worker.activity = Activity::Busy {
            begun: now,
            service,
            ends: now + service,
        };
    }

    fn complete(&mut self, index: usize, begun: f64, service: f64, metrics: &mut Metrics) {
        let worker = &mut self.workers[index];
        worker.activity = Activity::Idle;
        self.in_system -= worker.batch.len();
        self.counted.batch_seconds = Some(service);
        for job in worker.batch.drain(..) {
            let waited = begun - job.arrived;
            self.counted.answered += 1;
            self.counted.waited += waited;
            self.counted.sojourned += waited + service;
            metrics.answered(&job, waited);
        }
    }

    fn schedule(&mut self, now: f64) {
        let actions = self.workers.iter().map(Worker::next);
        self.next = actions.fold(f64::INFINITY, f64::min);
        if self.stopped_until > now && !self.queue.is_empty() {
            self.next = self.next.min(self.stopped_until);
        }
    }

    /// Freezes the pod from `now` to `until`.
    pub(super) fn freeze(&mut self, now: f64, until: f64) {
        self.frozen_until = until;
        self.stopped_until = until;
        for worker in &mut self.workers {
            worker.stop(now, until);
        }
        self.schedule(now);
    }

    /// Publishes the counters as the pod's reading.
    pub(super) fn tell(&mut self) {
        let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        self.counted.in_system = number(self.in_system);
        self.counted.waiting = number(self.queue.len());
        self.counted.timed_in_workers = self.counted.in_system - self.counted.waiting;
        self.reading = self.counted;
    }

    /// Removes and returns the requests in the pod, which will not complete.
    pub(super) fn abandon(&mut self) -> Vec<Job> {
        let mut jobs: Vec<Job> = Vec::with_capacity(self.in_system);
        for worker in &mut self.workers {
            worker.activity = Activity::Idle;
            jobs.append(&mut worker.batch);
        }
        jobs.extend(self.queue.drain(..));
        self.in_system = 0;
        self.next = f64::INFINITY;
        jobs
    }
}
