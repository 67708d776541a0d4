//! One version of a model: its queue and the state of its workers.

use super::counters::Series;
use super::options::ModelOptions;
use super::queue::JobQueue;
use parking_lot::Mutex;

#[derive(Debug)]
pub(super) struct Model {
    pub(super) options: ModelOptions,
    pub(super) queue: JobQueue,
    workers: Vec<Mutex<WorkerState>>,
}

/// The state of a worker in the management API.
#[derive(Debug, Clone)]
pub(super) struct WorkerState {
    /// The id, unique in the server, from 9000 on.
    pub(super) id: usize,
    pub(super) ready: bool,
    pub(super) pid: u32,
    /// The start time in RFC 3339 format, with milliseconds.
    pub(super) start_time: String,
}

impl Model {
    pub(super) fn new(options: ModelOptions, first_id: usize) -> Self {
        let workers = (first_id..).take(options.workers).map(|id| {
            Mutex::new(WorkerState {
                id,
                ready: false,
                pid: process_id(),
                start_time: format!("{:.3}", jiff::Timestamp::now()),
            })
        });
        Self {
            queue: JobQueue::new(options.job_queue_size),
            workers: workers.collect(),
            options,
        }
    }

    pub(super) fn workers(&self) -> impl Iterator<Item = WorkerState> {
        self.workers.iter().map(|w| w.lock().clone())
    }

    pub(super) fn worker_ready(&self, index: usize) {
        self.workers[index].lock().ready = true;
    }

    /// Replaces a worker that died with a new process.
    pub(super) fn worker_restarts(&self, index: usize) {
        let mut worker = self.workers[index].lock();
        worker.ready = false;
        worker.pid = process_id();
    }

    /// Returns the name that the metric WorkerLoadTime uses.
    pub(super) fn worker_name(&self, index: usize) -> String {
        let ModelOptions { name, version, .. } = &self.options;
        let id = self.workers[index].lock().id;
        format!("W-{id}-{name}_{version}")
    }

    pub(super) fn series(&self, version_label: &str) -> Series {
        Series {
            model: self.options.name.clone(),
            version: version_label.to_owned(),
        }
    }
}

fn process_id() -> u32 {
    fastrand::u32(2_000..4_000_000)
}
