//! What a pod's sidecar derives from TorchServe, which counts neither completed requests nor requests in workers.

use std::collections::VecDeque;
use std::time::Duration;

use pushscale_decision::{Counters, Latency, ModelReading, Queue};

use crate::cluster::{Batching, PodReading, PodView, ServerHealth};

/// A pod with waiting requests is stalled after this many seconds without a completion, and after three service times.
const STALLED_AFTER: f64 = 2.0;

/// The number of service times whose median the sidecar reports.
const MEDIAN_OF: usize = 5;

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
            if self.newest.len() > MEDIAN_OF {
                self.newest.pop_front();
            }
        } else if self.last.in_system == 0 {
            self.moved = second;
        }
        self.last = *reading;
        let slots = workers * batching.size;
        // The sidecar assumes full batches while requests wait. Otherwise Little's law gives the number of requests in
        // workers, from the counters that gRPC requests do not change.
        let in_service = if reading.waiting > 0 {
            slots
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
            workers,
            batch_size: batching.size,
            batch_delay: duration(if batching.size > 1 {
                batching.delay
            } else {
                0.0
            }),
        });
        model.service_time = self.median().map(duration);
    }

    fn median(&self) -> Option<f64> {
        let mut sorted: Vec<f64> = self.newest.iter().copied().collect();
        sorted.sort_unstable_by(f64::total_cmp);
        sorted.get(sorted.len().checked_sub(1)? / 2).copied()
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
