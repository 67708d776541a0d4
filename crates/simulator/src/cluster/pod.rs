//! One pod with its workers, queue and counters.

use std::collections::VecDeque;

use super::batching::Batching;
use super::crash_loop::CrashLoop;
use super::job::Job;
use super::metrics::Metrics;
use super::spec::ClusterSpec;
use super::view::{PodReading, PodState, ServerHealth};
use super::warm_up::WarmUp;
use super::worker::{Activity, Worker};

#[derive(Clone, Debug)]
pub(super) struct Pod {
    pub(super) id: u64,
    pub(super) state: PodState,
    /// The creation time.
    pub(super) created: f64,
    /// The time at which the pod becomes ready; infinite if it never does.
    pub(super) ready_at: f64,
    pub(super) speed: f64,
    /// The number of rollouts before its creation.
    pub(super) version: u32,
    /// The end of a slowdown, and the factor on the service time until then.
    slowed: (f64, f64),
    warm_up: WarmUp,
    /// Whether the server has started and has not been ready yet.
    cold: bool,
    /// The end of the warm-up.
    warm_at: f64,
    pub(super) crash_loop: Option<CrashLoop>,
    pub(super) health: ServerHealth,
    pub(super) sidecar_restarts: u32,
    /// Workers take no requests before this time.
    stopped_until: f64,
    batching: Batching,
    contention: f64,
    workers: Vec<Worker>,
    /// The requests that no worker has taken, in order of arrival.
    queue: VecDeque<Job>,
    in_system: usize,
    /// The number of requests in the pod whose clients have given up.
    abandoned: usize,
    /// The requests of each load balancer; empty if there is one.
    outstanding: Vec<usize>,
    /// The time of the next action of any worker.
    next: f64,
    /// The counters.
    counters: PodReading,
    /// The last reading.
    pub(super) reading: PodReading,
}

impl Pod {
    pub(super) fn new(
        id: u64,
        spec: &ClusterSpec,
        created: f64,
        ready_at: f64,
        speed: f64,
    ) -> Self {
        let balancers = match spec.clients.balancers {
            0 | 1 => 0,
            several => several as usize,
        };
        Self {
            id,
            state: PodState::Starting,
            created,
            ready_at,
            speed,
            version: 0,
            slowed: (f64::NEG_INFINITY, 1.0),
            warm_up: spec.warm_up,
            cold: true,
            warm_at: f64::NEG_INFINITY,
            crash_loop: None,
            health: ServerHealth::Ready,
            sidecar_restarts: 0,
            stopped_until: f64::NEG_INFINITY,
            batching: spec.batching,
            contention: spec.contention,
            workers: vec![Worker::new(); spec.workers.max(1) as usize],
            queue: VecDeque::new(),
            in_system: 0,
            abandoned: 0,
            outstanding: vec![0; balancers],
            next: f64::INFINITY,
            counters: PodReading::default(),
            reading: PodReading::default(),
        }
    }

    pub(super) fn in_system(&self) -> usize {
        self.in_system
    }

    /// Returns the requests in the pod whose clients wait for the response.
    pub(super) fn awaited(&self) -> usize {
        self.in_system - self.abandoned
    }

    /// Returns the requests in the pod that passed this load balancer.
    pub(super) fn outstanding(&self, balancer: usize) -> usize {
        let known = self.outstanding.get(balancer);
        known.copied().unwrap_or(self.in_system)
    }

    /// Makes the pod ready at `now`, which begins the warm-up of a server that has just started.
    pub(super) fn mark_ready(&mut self, now: f64) {
        self.state = PodState::Ready;
        self.health = ServerHealth::Ready;
        if std::mem::take(&mut self.cold) {
            self.warm_at = now + self.warm_up.seconds;
        }
    }

    /// Makes a pod ready that has been serving since before the run.
    pub(super) fn mark_warm(&mut self) {
        self.cold = false;
        self.mark_ready(0.0);
    }

    /// Returns the factor on the service time of a batch that starts now.
    fn slowness(&self, now: f64) -> f64 {
        let slowed = if now < self.slowed.0 {
            self.slowed.1
        } else {
            1.0
        };
        if now < self.warm_at {
            slowed * self.warm_up.factor
        } else {
            slowed
        }
    }

    /// Accepts a request, or rejects it because `queue` requests are waiting. Returns whether the pod accepted it. The
    /// pod must have advanced to `now`.
    pub(super) fn receive(&mut self, now: f64, job: Job, queue: u32) -> bool {
        self.counters.arrivals += 1;
        let taken_at_once = self.workers.iter().any(|worker| !worker.is_busy())
            && self.queue.is_empty()
            && now >= self.stopped_until;
        if !taken_at_once && self.queue.len() >= queue as usize {
            self.counters.rejected += 1;
            return false;
        }
        self.in_system += 1;
        if let Some(outstanding) = self.outstanding.get_mut(job.balancer) {
            *outstanding += 1;
        }
        self.queue.push_back(job);
        self.assign_batches(now);
        true
    }

    /// Processes everything that happens up to `now`.
    pub(super) fn advance_to(&mut self, now: f64, metrics: &mut Metrics) {
        while self.next <= now {
            let at = self.next;
            if at >= self.stopped_until && !self.queue.is_empty() {
                self.assign_batches(at);
            }
            for index in 0..self.workers.len() {
                if self.workers[index].next() > at {
                    continue;
                }
                match self.workers[index].activity {
                    Activity::Idle => {}
                    Activity::Forming(_) => self.start(index, at),
                    Activity::Busy { start, service, .. } => {
                        self.complete(index, start, service, metrics);
                        self.assign_batches(at);
                    }
                }
            }
            self.schedule(at);
        }
    }

    /// Assigns waiting requests to workers. Only one worker at a time waits for its batch to fill.
    fn assign_batches(&mut self, now: f64) {
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
        let busy = self
            .workers
            .iter()
            .filter(|worker| worker.is_busy())
            .count();
        let slowness = self.slowness(now);
        let worker = &mut self.workers[index];
        let Some(first) = worker.batch.first() else {
            worker.activity = Activity::Idle;
            return;
        };
        let factor = self.batching.factor(worker.batch.len()) * slowness;
        let contention = 1.0 + self.contention * busy as f64;
        let service = first.service * factor * contention / self.speed;
        worker.activity = Activity::Busy {
            start: now,
            service,
            ends: now + service,
        };
    }

    fn complete(&mut self, index: usize, start: f64, service: f64, metrics: &mut Metrics) {
        let worker = &mut self.workers[index];
        worker.activity = Activity::Idle;
        self.in_system -= worker.batch.len();
        self.counters.batch_seconds = Some(service);
        for job in worker.batch.drain(..) {
            let waited = start - job.arrived;
            self.counters.completed += 1;
            if job.timed {
                self.counters.responses += 1;
                self.counters.waited += waited;
                self.counters.sojourned += waited + service;
            }
            if let Some(outstanding) = self.outstanding.get_mut(job.balancer) {
                *outstanding -= 1;
            }
            if job.abandoned {
                self.abandoned -= 1;
            } else {
                metrics.record_completed(&job, waited);
            }
        }
    }

    fn schedule(&mut self, now: f64) {
        let actions = self.workers.iter().map(Worker::next);
        self.next = actions.fold(f64::INFINITY, f64::min);
        if self.stopped_until > now && !self.queue.is_empty() {
            self.next = self.next.min(self.stopped_until);
        }
    }

    /// Stops the workers from `now` to `until`.
    pub(super) fn stop(&mut self, now: f64, until: f64) {
        self.stopped_until = until;
        for worker in &mut self.workers {
            worker.stop(now, until);
        }
        self.schedule(now);
    }

    /// Stops the workers and the server from `now` to `until`.
    pub(super) fn freeze(&mut self, now: f64, until: f64) {
        self.health = ServerHealth::Frozen(until);
        self.stop(now, until);
    }

    /// Multiplies the service times of batches that start before `until`.
    pub(super) fn slow(&mut self, factor: f64, until: f64) {
        self.slowed = (until, factor);
    }

    /// Makes the pod unready until a time. It keeps its requests.
    pub(super) fn fail_probe(&mut self, until: f64) {
        self.state = PodState::Unready;
        self.ready_at = until;
    }

    /// Restarts the container, which serves again at `until` and counts from 0. Returns the lost requests.
    pub(super) fn crash(&mut self, until: f64) -> Vec<Job> {
        let lost = self.take_requests();
        self.fail_probe(until);
        self.health = ServerHealth::Down;
        self.cold = true;
        self.stopped_until = f64::NEG_INFINITY;
        self.counters = PodReading::default();
        self.reading = PodReading::default();
        lost
    }

    /// Publishes the counters as the pod's reading.
    pub(super) fn publish_reading(&mut self) {
        let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        self.counters.in_system = number(self.in_system);
        self.counters.waiting = number(self.queue.len());
        self.reading = self.counters;
    }

    /// Adds to `given_up` the requests that have waited for longer than `timeout` seconds. The pod still processes
    /// them.
    pub(super) fn time_out(&mut self, now: f64, timeout: f64, given_up: &mut Vec<Job>) {
        let late = |job: &&mut Job| now - job.arrived > timeout;
        for job in self.queue.iter_mut().take_while(late) {
            if !job.abandoned {
                given_up.push(*job);
                job.abandoned = true;
                self.abandoned += 1;
            }
        }
    }

    /// Removes the requests in the pod, which will not complete, and returns those that clients wait for.
    pub(super) fn take_requests(&mut self) -> Vec<Job> {
        let mut jobs: Vec<Job> = Vec::with_capacity(self.in_system);
        for worker in &mut self.workers {
            worker.activity = Activity::Idle;
            jobs.append(&mut worker.batch);
        }
        jobs.extend(self.queue.drain(..));
        jobs.retain(|job| !job.abandoned);
        self.in_system = 0;
        self.abandoned = 0;
        self.outstanding.fill(0);
        self.next = f64::INFINITY;
        jobs
    }
}
