//! What a pod's sidecar derives from TorchServe, which counts neither completed requests nor requests in workers.

use std::collections::VecDeque;
use std::time::Duration;

use pushscale_decision::{Counters, Latency, ModelReading, Queue};

use crate::cluster::{Batching, PodReading, PodView, ServerHealth};

/// A pod with waiting requests is stalled after this many seconds without a completion, and after three service times.
const STALLED_AFTER: f64 = 2.0;

/// The number of service times whose mean the sidecar reports, each of at most this multiple of their median.
const MEAN_OF: usize = 32;
const MAX_MEDIANS: f64 = 5.0;

/// The state of one sidecar.
#[derive(Debug, Default)]
pub(super) struct Sidecar {
    last: PodReading,
    completed: u64,
    /// The second of the last completion.
    moved: usize,
    /// The newest service times of batches, in seconds.
    newest: VecDeque<f64>,
}

impl Sidecar {
    /// Fills in the model of a reading at this second. A frozen pod has no queue latency.
    pub(super) fn read(
        &mut self,
        model: &mut ModelReading,
        pod: &PodView,
        second: usize,
        workers: u32,
        batching: &Batching,
    ) {
        let reading = &pod.reading;
        if reading.arrivals < self.last.arrivals {
            // The server has restarted and counts from 0.
            *self = Self::default();
        }
        if reading.answered != self.last.answered {
            self.moved = second;
            self.newest.extend(reading.batch_seconds);
            if self.newest.len() > MEAN_OF {
                self.newest.pop_front();
            }
        } else if self.last.in_system == 0 {
            self.moved = second;
        }
        self.last = *reading;
        let slots = workers * batching.size;
        // While requests wait, all workers are busy, with full batches if as many wait as a batch holds. Otherwise
        // Little's law gives the number of requests in workers, from the counters that gRPC requests do not change.
        // Without REST requests, a real sidecar estimates it from the arrivals.
        let in_service = if reading.waiting >= batching.size {
            slots
        } else if reading.waiting > 0 {
            reading.timed_in_workers.clamp(workers, slots)
        } else {
            reading.timed_in_workers
        };
        let present = u64::from(reading.waiting + in_service);
        let completed = (reading.arrivals - reading.refused).saturating_sub(present);
        self.completed = self.completed.max(completed);
        model.queue_latency = self
            .queue_latency(pod, second, slots, batching)
            .filter(|_| pod.health == ServerHealth::Ready);
        model.counters = Some(Counters {
            arrivals: reading.arrivals,
            rejected: reading.refused,
            completed: Some(self.completed),
            total_wait: duration(reading.waited),
            total_sojourn: duration(reading.sojourned),
        });
        model.queue = Some(Queue {
            waiting: reading.waiting,
            in_service,
            in_service_milli: None,
            workers,
            batch_size: batching.size,
            batch_delay: duration(if batching.size > 1 {
                batching.delay
            } else {
                0.0
            }),
        });
        model.service_time = self.mean().map(duration);
    }

    fn mean(&self) -> Option<f64> {
        let mut sorted: Vec<f64> = self.newest.iter().copied().collect();
        sorted.sort_unstable_by(f64::total_cmp);
        let most = MAX_MEDIANS * sorted.get(sorted.len().checked_sub(1)? / 2)?;
        let sum: f64 = sorted.iter().map(|seconds| seconds.min(most)).sum();
        Some(sum / sorted.len() as f64)
    }

    fn queue_latency(
        &self,
        pod: &PodView,
        second: usize,
        slots: u32,
        batching: &Batching,
    ) -> Option<Latency> {
        let service = pod.service * batching.factor(batching.size as usize);
        let wait = f64::from(pod.reading.waiting) * service / f64::from(slots.max(1));
        let idle = (second - self.moved) as f64;
        let stalled = pod.reading.waiting > 0 && idle > STALLED_AFTER.max(3.0 * service);
        Latency::from_secs_f64(if stalled { wait.max(idle) } else { wait })
    }
}

fn duration(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::PodState;

    const BATCHES: Batching = Batching {
        size: 4,
        delay: 0.1,
        growth: 0.0,
    };

    fn pod(reading: PodReading) -> PodView {
        PodView {
            id: 1,
            state: PodState::Serving,
            reading,
            has_pushed: true,
            health: ServerHealth::Ready,
            service: 0.1,
        }
    }

    fn read(sidecar: &mut Sidecar, second: usize, reading: PodReading) -> ModelReading {
        let mut model = ModelReading::default();
        sidecar.read(&mut model, &pod(reading), second, 2, &BATCHES);
        model
    }

    #[test]
    fn workers_have_full_batches_while_as_many_requests_wait_as_a_batch_holds() {
        let reading = |waiting, timed_in_workers| PodReading {
            arrivals: 100,
            answered: 85,
            in_system: 15,
            waiting,
            timed_in_workers,
            ..PodReading::default()
        };
        let in_service = |waiting, timed| {
            let model = read(&mut Sidecar::default(), 1, reading(waiting, timed));
            model.queue.unwrap().in_service
        };
        assert_eq!(in_service(4, 6), 8);
        assert_eq!(in_service(3, 6), 6);
        assert_eq!(in_service(3, 1), 2);
        assert_eq!(in_service(0, 1), 1);
        let model = read(&mut Sidecar::default(), 1, reading(9, 6));
        let queue = model.queue.unwrap();
        assert_eq!((queue.waiting, queue.in_service), (9, 8));
        assert_eq!((queue.batch_size, queue.workers), (4, 2));
        assert_eq!(queue.batch_delay, Duration::from_millis(100));
        assert_eq!(model.counters.unwrap().completed, Some(83));
    }

    #[test]
    fn requests_of_grpc_in_workers_count_as_completed() {
        let reading = PodReading {
            arrivals: 100,
            answered: 94,
            in_system: 6,
            timed_in_workers: 2,
            ..PodReading::default()
        };
        let model = read(&mut Sidecar::default(), 1, reading);
        assert_eq!(model.queue.unwrap().in_service, 2);
        assert_eq!(model.counters.unwrap().completed, Some(98));
    }

    #[test]
    fn completed_requests_decrease_only_after_a_restart() {
        let mut sidecar = Sidecar::default();
        let at = |arrivals, waiting| PodReading {
            arrivals,
            waiting,
            in_system: waiting,
            ..PodReading::default()
        };
        let mut completed = |second, reading| {
            let model = read(&mut sidecar, second, reading);
            model.counters.unwrap().completed.unwrap()
        };
        assert_eq!(completed(1, at(100, 0)), 100);
        assert_eq!(completed(2, at(101, 20)), 100);
        assert_eq!(completed(3, at(5, 0)), 5);
    }

    #[test]
    fn a_stalled_pod_waits_at_least_since_its_last_completion() {
        let mut sidecar = Sidecar::default();
        let stuck = PodReading {
            arrivals: 10,
            answered: 4,
            in_system: 6,
            waiting: 2,
            ..PodReading::default()
        };
        let wait = |model: ModelReading| model.queue_latency.unwrap().as_secs_f64();
        assert!(wait(read(&mut sidecar, 1, stuck)) < 0.1);
        assert!((wait(read(&mut sidecar, 9, stuck)) - 8.0).abs() < 1e-9);
    }

    #[test]
    fn the_service_time_is_the_mean_of_the_last_batches() {
        let mut sidecar = Sidecar::default();
        let mut last = None;
        for (batch, seconds) in (1..).zip([0.1, 0.1, 8.0, 0.2, 0.1]) {
            let reading = PodReading {
                answered: batch,
                arrivals: batch,
                batch_seconds: Some(seconds),
                ..PodReading::default()
            };
            let second = usize::try_from(batch).unwrap_or_default();
            last = read(&mut sidecar, second, reading).service_time;
        }
        assert_eq!(last, Some(Duration::from_millis(200)));
    }
}
