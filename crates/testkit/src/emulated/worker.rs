//! A worker: it loads the model, then takes batches and sleeps.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use super::job::{Failure, Job, Origin, Outcome};
use super::model::Model;
use super::options::ServerOptions;
use super::process::Process;

/// The time that TorchServe takes to restart a worker that died, before the model loads.
const RESTART: Duration = Duration::from_secs(1);

struct Worker {
    process: Arc<Process>,
    model: Arc<Model>,
    /// The index among the workers of the model version.
    index: usize,
    overhead: Duration,
}

/// Starts the workers of all models as tasks in `tasks`. Each worker loads its model first.
pub(super) fn start_all(process: &Arc<Process>, options: &ServerOptions, tasks: &mut JoinSet<()>) {
    for model in &process.models {
        for index in 0..model.options.workers {
            let worker = Worker {
                process: Arc::clone(process),
                model: Arc::clone(model),
                index,
                overhead: options.overhead,
            };
            tasks.spawn(worker.run());
        }
    }
}

impl Worker {
    async fn run(self) {
        self.load(Duration::ZERO).await;
        loop {
            let options = &self.model.options;
            let batch = self
                .model
                .queue
                .take_batch(options.batch_size, options.max_batch_delay)
                .await;
            self.process.switches.wait_while_frozen().await;
            // This time applies to all requests of the batch, even to those that joined it earlier.
            let taken = Instant::now();
            let outcome = self.serve(taken, &batch).await;
            self.process.switches.wait_while_frozen().await;
            if matches!(outcome, Outcome::Done { .. }) {
                self.record_completion(taken, &batch);
            }
            if outcome == Outcome::WorkerDied {
                self.model.worker_restarts(self.index);
                self.process.worker_is_ready(false);
            }
            for job in batch {
                if let Origin::Rest { reply, .. } = job.origin {
                    // The client may have disconnected. The worker has still processed its request.
                    reply.send(outcome).ok();
                }
            }
            if outcome == Outcome::WorkerDied {
                self.load(RESTART).await;
            }
        }
    }

    async fn load(&self, before: Duration) {
        let time = before + self.model.options.load;
        sleep(time).await;
        let mut counters = self.process.counters.lock();
        counters
            .worker_load_time
            .insert(self.model.worker_name(self.index), millis(time).round());
        counters.worker_thread_time = Some(millis(self.overhead).round());
        drop(counters);
        self.model.worker_ready(self.index);
        self.process.worker_is_ready(true);
    }

    async fn serve(&self, taken: Instant, batch: &[Job]) -> Outcome {
        let fails = |how| batch.iter().any(|job| job.options.fail == Some(how));
        let requested = batch.iter().filter_map(|job| job.options.sleep()).max();
        let slept = requested.unwrap_or(self.model.options.service);
        let outcome = if fails(Failure::Exit) {
            Outcome::WorkerDied
        } else if fails(Failure::Exception) {
            Outcome::HandlerFailed
        } else {
            // One sleep instead of two, because tokio rounds each up to the next millisecond.
            match taken.checked_add(slept + self.overhead) {
                Some(end) => sleep_until(end).await,
                None => std::future::pending().await,
            }
            let batch = batch.len();
            Outcome::Done { slept, batch }
        };
        self.process.switches.wait_while_blocked(self.index).await;
        outcome
    }

    /// Updates the counters at completion. They do not change while no request completes.
    fn record_completion(&self, taken: Instant, batch: &[Job]) {
        let completed = Instant::now();
        let in_worker = completed - taken;
        let mut counters = self.process.counters.lock();
        for job in batch {
            let waited = taken - job.arrived;
            counters.waited(waited);
            if let Origin::Rest { version_label, .. } = &job.origin {
                let series = self.model.series(version_label);
                counters.responded(series, waited, completed - job.arrived);
            }
        }
        let prediction = millis(in_worker.saturating_sub(self.overhead));
        counters.prediction_time.insert(
            self.model.options.name.clone(),
            (prediction * 100.0).round() / 100.0,
        );
        counters.worker_thread_time = Some(millis(self.overhead).round());
    }
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}
