//! The queue of one model version, shared by its workers.

use std::collections::VecDeque;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

use super::job::Job;

/// A bounded first-in first-out queue. It does not contain jobs in flight, nor jobs in a batch that is still filling.
#[derive(Debug)]
pub(super) struct JobQueue {
    jobs: Mutex<VecDeque<Job>>,
    /// One permit per job in `jobs`.
    waiting: Semaphore,
    capacity: usize,
}

impl JobQueue {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            jobs: Mutex::default(),
            waiting: Semaphore::new(0),
            capacity,
        }
    }

    /// Adds the job, or returns it if the queue is full.
    pub(super) fn offer(&self, job: Job) -> Result<(), Job> {
        let mut jobs = self.jobs.lock();
        if jobs.len() >= self.capacity {
            return Err(job);
        }
        jobs.push_back(job);
        self.waiting.add_permits(1);
        Ok(())
    }

    pub(super) fn waiting(&self) -> usize {
        self.jobs.lock().len()
    }

    pub(super) fn remaining(&self) -> usize {
        self.capacity.saturating_sub(self.waiting())
    }

    /// Waits for a first job, and then for the batch to fill, at most for `delay`.
    pub(super) async fn take_batch(&self, size: usize, delay: Duration) -> Vec<Job> {
        let mut batch = Vec::with_capacity(size);
        batch.extend(self.take().await);
        let deadline = Instant::now() + delay;
        while batch.len() < size {
            match timeout_at(deadline, self.take()).await {
                Ok(job) => batch.extend(job),
                Err(_) => break,
            }
        }
        batch
    }

    /// Takes the next job; `None` if the queue is closed, which does not happen.
    async fn take(&self) -> Option<Job> {
        self.waiting.acquire().await.ok()?.forget();
        self.jobs.lock().pop_front()
    }
}

#[cfg(test)]
mod tests {
    use super::super::job::{HandlerOptions, Origin};
    use super::*;

    fn job(sleep_ms: f64) -> Job {
        Job {
            arrived: Instant::now(),
            options: HandlerOptions {
                sleep_ms: Some(sleep_ms),
                fail: None,
            },
            origin: Origin::Grpc,
        }
    }

    fn order(batch: &[Job]) -> Vec<f64> {
        batch.iter().filter_map(|j| j.options.sleep_ms).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn jobs_leave_in_the_order_of_arrival() {
        let queue = JobQueue::new(3);
        for n in [1.0, 2.0, 3.0] {
            queue.offer(job(n)).unwrap();
        }
        assert!(queue.offer(job(4.0)).is_err());
        assert_eq!((queue.waiting(), queue.remaining()), (3, 0));
        let batch = queue.take_batch(1, Duration::ZERO).await;
        assert_eq!(order(&batch), [1.0]);
        let batch = queue.take_batch(4, Duration::from_millis(200)).await;
        assert_eq!(order(&batch), [2.0, 3.0]);
        assert_eq!((queue.waiting(), queue.remaining()), (0, 3));
    }

    #[tokio::test(start_paused = true)]
    async fn a_batch_waits_for_its_delay_and_not_longer() {
        let queue = JobQueue::new(10);
        queue.offer(job(1.0)).unwrap();
        let start = Instant::now();
        assert_eq!(
            queue.take_batch(4, Duration::from_millis(200)).await.len(),
            1
        );
        assert_eq!(start.elapsed(), Duration::from_millis(200));
    }
}
