//! A running load.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep_until};

use super::exchange::Exchange;
use super::schedule::Schedule;
use super::summary::Times;
use super::targets::Chooser;
use super::{LoadError, LoadOptions, LoadReport, Outcome, Sample, Spread, Step, StepStart};

/// A running load. Dropping it stops the load and discards its results.
#[derive(Debug)]
pub struct RunningLoad {
    began: Instant,
    began_system: SystemTime,
    samples: Arc<Mutex<Vec<Sample>>>,
    counts: watch::Receiver<Counts>,
    steps: watch::Receiver<Vec<StepStart>>,
    stop: watch::Sender<bool>,
    task: JoinHandle<Spread>,
}

/// The progress of a running load.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Requests that were sent.
    pub sent: usize,
    /// Sent requests that have no outcome yet.
    pub in_flight: usize,
    /// Requests that were not sent, because too many were in flight.
    pub not_sent: usize,
}

impl RunningLoad {
    /// Starts a load on the current tokio runtime. The first request is sent at once.
    ///
    /// # Errors
    /// The options are invalid.
    ///
    /// # Panics
    /// There is no tokio runtime.
    pub fn start(options: LoadOptions) -> Result<Self, LoadError> {
        options.check()?;
        let began = Instant::now();
        let began_system = SystemTime::now();
        let samples = Arc::default();
        let (counts, counts_seen) = watch::channel(Counts::default());
        let (steps, steps_seen) = watch::channel(Vec::new());
        let (stop, stopped) = watch::channel(false);
        let sender = Sender {
            began,
            exchange: Exchange::new(&options),
            schedule: Schedule::new(options.steps.clone(), options.arrivals),
            chooser: Chooser::new(options.targets),
            steps: options.steps,
            max_in_flight: options.max_in_flight,
            tasks: JoinSet::new(),
            samples: Arc::clone(&samples),
            counts,
            step_starts: steps,
            lateness: Times::new(),
        };
        Ok(Self {
            began,
            began_system,
            samples,
            counts: counts_seen,
            steps: steps_seen,
            stop,
            task: tokio::spawn(sender.run(stopped)),
        })
    }

    /// Returns the start of the load on the monotonic clock, to which all `start_s` refer.
    pub fn began(&self) -> std::time::Instant {
        self.began.into_std()
    }

    /// Returns the progress.
    pub fn counts(&self) -> Counts {
        *self.counts.borrow()
    }

    /// Returns the steps that have begun. The receiver is notified when another step begins.
    pub fn steps(&self) -> watch::Receiver<Vec<StepStart>> {
        self.steps.clone()
    }

    /// Waits until the first request of the step is sent. Returns `None` if the load ends before that.
    pub async fn step_start(&self, step: usize) -> Option<StepStart> {
        let mut steps = self.steps();
        let began = steps.wait_for(|began| began.iter().any(|b| b.step == step));
        // An error means that the load has ended; the list may still contain the step.
        drop(began.await);
        steps.borrow().iter().find(|b| b.step == step).copied()
    }

    /// Returns the outcomes from index `seen` on, in the order of completion. A live view passes the number of outcomes
    /// that it already has.
    pub fn samples_since(&self, seen: usize) -> Vec<Sample> {
        self.samples.lock().get(seen..).unwrap_or_default().to_vec()
    }

    /// Returns a handle that ends the schedule early, even while [`RunningLoad::finish`] waits.
    pub fn stopper(&self) -> Stopper {
        Stopper(self.stop.clone())
    }

    /// Waits for the end of the schedule, and then for the last responses, at most for the timeout.
    pub async fn finish(mut self) -> LoadReport {
        // The task has no result only if it panicked or the runtime ended. The lateness is then unknown.
        let lateness = (&mut self.task).await.ok();
        let mut samples = std::mem::take(&mut *self.samples.lock());
        samples.sort_by(|a, b| a.start_s.total_cmp(&b.start_s));
        LoadReport {
            began: self.began.into_std(),
            began_system: self.began_system,
            samples,
            steps: self.steps.borrow().clone(),
            lateness: lateness.unwrap_or_else(|| Times::new().spread()),
        }
    }
}

impl Drop for RunningLoad {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Ends the schedule of a load.
#[derive(Debug, Clone)]
pub struct Stopper(watch::Sender<bool>);

impl Stopper {
    /// Stops sending requests. Requests in flight continue.
    pub fn stop(&self) {
        self.0.send_replace(true);
    }
}

/// The task that sends the requests on schedule.
struct Sender {
    began: Instant,
    exchange: Arc<Exchange>,
    schedule: Schedule,
    chooser: Chooser,
    steps: Vec<Step>,
    max_in_flight: usize,
    tasks: JoinSet<Sample>,
    samples: Arc<Mutex<Vec<Sample>>>,
    counts: watch::Sender<Counts>,
    step_starts: watch::Sender<Vec<StepStart>>,
    lateness: Times,
}

impl Sender {
    async fn run(mut self, mut stopped: watch::Receiver<bool>) -> Spread {
        let mut next = self.due();
        let timer = sleep_until(next.map_or(self.began, |(due, _)| due));
        tokio::pin!(timer);
        loop {
            tokio::select! {
                () = &mut timer, if next.is_some() => {
                    if let Some((due, step)) = next {
                        self.send(due, step);
                    }
                    next = self.due();
                    if let Some((due, _)) = next {
                        timer.as_mut().reset(due);
                    }
                }
                Some(done) = self.tasks.join_next(), if !self.tasks.is_empty() => {
                    self.record(done.ok());
                }
                // The schedule ends on a stop request, or when all handles are dropped.
                _ = stopped.wait_for(|stop| *stop), if next.is_some() => next = None,
                else => return self.lateness.spread(),
            }
        }
    }

    fn due(&mut self) -> Option<(Instant, usize)> {
        let (offset, step) = self.schedule.next()?;
        Some((self.began + Duration::from_secs_f64(offset), step))
    }

    fn send(&mut self, due: Instant, step: usize) {
        let departure = Instant::now();
        let start_s = (departure - self.began).as_secs_f64();
        self.mark(step, start_s, departure);
        self.lateness.record(departure - due);
        let sample = move |outcome| Sample {
            start_s,
            latency: departure.elapsed(),
            outcome,
        };
        if self.tasks.len() >= self.max_in_flight {
            self.counts.send_modify(|c| c.not_sent += 1);
            self.samples.lock().push(sample(Outcome::NotSent));
            return;
        }
        let Some(target) = self.chooser.next() else {
            self.counts.send_modify(|c| c.sent += 1);
            self.samples.lock().push(sample(Outcome::NoTarget));
            return;
        };
        let exchange = Arc::clone(&self.exchange);
        self.tasks
            .spawn(async move { sample(exchange.run(target, departure).await) });
        self.counts.send_modify(|c| {
            c.sent += 1;
            c.in_flight += 1;
        });
    }

    fn mark(&self, step: usize, start_s: f64, departure: Instant) {
        let known = self.step_starts.borrow().last().map(|b| b.step);
        if known == Some(step) {
            return;
        }
        let began = StepStart {
            step,
            rate: self.steps[step].rate,
            start_s,
            monotonic: departure.into_std(),
            system: SystemTime::now(),
        };
        self.step_starts.send_modify(|steps| steps.push(began));
    }

    /// Records an outcome; `None` stands for a task that panicked, which does not happen.
    fn record(&self, sample: Option<Sample>) {
        self.samples.lock().extend(sample);
        self.counts.send_modify(|c| c.in_flight = self.tasks.len());
    }
}
