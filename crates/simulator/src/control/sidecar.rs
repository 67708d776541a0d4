//! What a pod's sidecar derives from TorchServe, by the sidecar's own code.

use std::time::Duration;

use pushscale_api::push::model_reading;
use pushscale_decision::ModelReading;
use pushscale_reading::{Counters, ModelScrape, ModelTracker, Queue, Responses};

use crate::cluster::{PodReading, PodView, View};
use crate::quantity::to_u32_saturating;

/// Seconds between the probes of a kubelet, whose responses TorchServe counts with the others: liveness and readiness
/// every ten seconds.
const PROBE_INTERVAL: u64 = 5;

/// The state of one sidecar.
#[derive(Debug, Default)]
pub(super) struct Sidecar {
    last: PodReading,
    /// `None` before the first scrape of the server's process.
    tracker: Option<ModelTracker>,
    responses: Responses,
    /// The restarts of the sidecar before this process.
    pub(super) restarts: u32,
    /// Whether the server started before this process. If it did, the first scrape is not compared with zero.
    joined_late: bool,
    /// The seconds by which the probes of the pod are later than those of others.
    phase: u64,
}

impl Sidecar {
    /// Creates the sidecar of the pod with this id, after this number of restarts.
    pub(super) fn new(id: u64, restarts: u32) -> Self {
        Self {
            restarts,
            joined_late: restarts > 0,
            phase: id % PROBE_INTERVAL,
            ..Self::default()
        }
    }

    /// Returns the measurements of the model with this name at the time of the view, as the aggregator receives them.
    /// Without access to the management port, `queue` is `None`.
    pub(super) fn read(
        &mut self,
        name: &str,
        reading: &PodReading,
        view: &View<'_>,
        queue: Option<&Queue>,
    ) -> ModelReading {
        if reading.arrivals < self.last.arrivals {
            // The server has restarted and counts from 0.
            *self = Self {
                restarts: self.restarts,
                phase: self.phase,
                ..Self::default()
            };
        }
        let is_first = self.joined_late && self.tracker.is_none();
        if is_first {
            self.last = *reading;
        }
        let second = view.second as u64;
        let at = Duration::from_secs(second);
        let failed = (reading.rejected - self.last.rejected) as f64;
        let probes = probes_until(second, self.phase)
            - probes_until(
                second.saturating_sub(view.scrape_interval.into()),
                self.phase,
            );
        let responses = (reading.responses - self.last.responses + probes) as f64;
        let has_completed = reading.sojourned > self.last.sojourned;
        let responses = self
            .responses
            .count_request_responses(at, responses, has_completed);
        // Responses are counted from the first scrape on.
        let responses = Some(responses).filter(|_| !is_first);
        self.last = *reading;
        // A series begins with the first request that it counts.
        let timed = reading.sojourned > 0.0;
        let tracker = self
            .tracker
            .get_or_insert_with(|| ModelTracker::new(at, !is_first));
        let counters = Counters {
            arrivals: Some(reading.arrivals as f64),
            wait_seconds: timed.then_some(reading.waited),
            sojourn_seconds: timed.then_some(reading.sojourned),
            service_seconds: reading.batch_seconds,
        };
        let estimate = tracker.observe(ModelScrape {
            at,
            counters,
            queue,
            failed,
            responses,
            sole: true,
            other_completions: false,
        });
        model_reading(&estimate.into_model(name.into(), &counters, queue))
    }
}

/// Returns the number of probes with this phase until a second, including it.
fn probes_until(second: u64, phase: u64) -> u64 {
    (second + PROBE_INTERVAL - phase) / PROBE_INTERVAL
}

/// Returns whether the sidecar of this pod scrapes in the second of the view. The sidecars scrape at different times.
pub(super) fn scrapes(pod: u64, view: &View<'_>) -> bool {
    let interval = view.scrape_interval.max(1);
    let phase = to_u32_saturating(PodView::position(pod) * f64::from(interval));
    (view.second as u64 + u64::from(phase)).is_multiple_of(interval.into())
}

/// Returns what the management port of a pod shows of its queue.
pub(super) fn queue(waiting: u32, view: &View<'_>) -> Queue {
    let batching = &view.batching;
    Queue {
        waiting: waiting.into(),
        capacity_left: view.queue.saturating_sub(waiting).into(),
        workers_ready: view.workers.into(),
        batch_size: batching.size.max(1).into(),
        batch_delay_seconds: if batching.size > 1 {
            batching.delay
        } else {
            0.0
        },
        continuous_batching: false,
    }
}

#[cfg(test)]
mod tests {
    use pushscale_decision::Latency;

    use super::*;
    use crate::cluster::{Batching, Deletion, Goal};

    fn view() -> View<'static> {
        View {
            second: 1,
            pods: &[],
            replicas: 1,
            arrived: 0,
            silent: false,
            goal: Goal {
                target: 0.05,
                min: 1,
                max: 80,
            },
            workers: 2,
            queue: 10,
            batching: Batching {
                size: 4,
                delay: 0.1,
                growth: 0.0,
            },
            scrape_interval: 1,
            deletion: Deletion::Cost,
        }
    }

    fn read(sidecar: &mut Sidecar, second: usize, reading: PodReading) -> ModelReading {
        let view = View { second, ..view() };
        let queue = queue(reading.waiting, &view);
        sidecar.read("model", &reading, &view, Some(&queue))
    }

    #[test]
    fn a_restarted_sidecar_counts_from_its_first_scrape() {
        let mut sidecar = Sidecar::new(0, 1);
        let at = |arrivals| PodReading {
            arrivals,
            rejected: arrivals / 10,
            responses: arrivals,
            waited: 0.001 * arrivals as f64,
            sojourned: 0.011 * arrivals as f64,
            batch_seconds: Some(0.01),
            ..PodReading::default()
        };
        let first = read(&mut sidecar, 1, at(1_000)).counters.unwrap();
        assert_eq!((first.arrivals, first.rejected), (1_000, 0));
        assert!(first.completed.unwrap_or_default() <= 1);
        let second = read(&mut sidecar, 2, at(1_100)).counters.unwrap();
        assert_eq!((second.arrivals, second.rejected), (1_100, 10));
        assert!(second.completed.unwrap() <= 101);
    }

    #[test]
    fn each_sidecar_scrapes_once_per_interval_and_not_all_at_once() {
        let scrapes = |pod, second| {
            let view = View {
                second,
                scrape_interval: 10,
                ..view()
            };
            scrapes(pod, &view)
        };
        for pod in 1..=10 {
            let seconds = (1..=100).filter(|second| scrapes(pod, *second));
            assert_eq!(seconds.count(), 10);
        }
        for second in 1..=10 {
            let pods = (1..=10).filter(|pod| scrapes(*pod, second)).count();
            assert!(pods <= 2, "{pods} of 10 pods in second {second}");
        }
    }

    #[test]
    fn the_probes_since_the_last_scrape_are_not_responses_to_requests() {
        for phase in 0..PROBE_INTERVAL {
            for second in PROBE_INTERVAL..30 {
                let one = u64::from(second % PROBE_INTERVAL == phase);
                assert_eq!(
                    probes_until(second, phase) - probes_until(second - 1, phase),
                    one
                );
                assert_eq!(
                    probes_until(second + 10, phase) - probes_until(second, phase),
                    2
                );
            }
        }
    }

    #[test]
    fn the_free_capacity_is_that_of_the_limited_queue() {
        assert_eq!(queue(9, &view()).capacity_left, 1.0);
        assert_eq!(queue(10, &view()).capacity_left, 0.0);
    }

    #[test]
    fn the_queue_and_the_counts_are_those_of_the_pod() {
        let mut sidecar = Sidecar::default();
        read(&mut sidecar, 1, PodReading::default());
        let reading = PodReading {
            arrivals: 103,
            rejected: 3,
            completed: 83,
            waiting: 9,
            in_system: 17,
            waited: 20.0,
            sojourned: 28.3,
            batch_seconds: Some(0.1),
            responses: 83,
        };
        let model = read(&mut sidecar, 2, reading);
        let queue = model.queue.unwrap();
        assert_eq!((queue.waiting, queue.in_flight), (9, 8));
        assert_eq!((queue.batch_size, queue.workers), (4, 2));
        assert_eq!(queue.batch_delay, Duration::from_millis(100));
        let counters = model.counters.unwrap();
        assert_eq!((counters.arrivals, counters.rejected), (103, 3));
        assert_eq!(counters.completed, Some(83));
        assert_eq!(counters.total_sojourn, Duration::from_millis(28_300));
        assert_eq!(model.service_time, Some(Duration::from_millis(100)));
    }

    #[test]
    fn without_the_management_port_the_counters_show_the_wait_only() {
        let mut sidecar = Sidecar::default();
        let reading = PodReading {
            arrivals: 10,
            responses: 10,
            waited: 2.0,
            sojourned: 3.0,
            batch_seconds: Some(0.1),
            ..PodReading::default()
        };
        let mut read = |second, reading| {
            let view = View { second, ..view() };
            sidecar.read("model", &reading, &view, None)
        };
        read(1, PodReading::default());
        let model = read(10, reading);
        // The first completed requests may contain the time of the model's load.
        assert_eq!(model.queue_latency, None);
        let later = PodReading {
            arrivals: 20,
            responses: 20,
            waited: 4.0,
            sojourned: 6.0,
            ..reading
        };
        let model = read(20, later);
        assert_eq!(model.queue_latency, Latency::from_secs_f64(0.2));
        assert_eq!(
            (model.queue, model.counters.unwrap().completed),
            (None, None)
        );
    }

    #[test]
    fn completed_requests_decrease_only_after_a_restart() {
        let mut sidecar = Sidecar::default();
        let at = |arrivals, waiting| PodReading {
            arrivals,
            waiting,
            responses: arrivals,
            in_system: waiting,
            sojourned: 0.01 * arrivals as f64,
            batch_seconds: Some(0.01),
            ..PodReading::default()
        };
        let mut completed = |second, reading| {
            let model = read(&mut sidecar, second, reading);
            model.counters.unwrap().completed.unwrap()
        };
        assert_eq!(completed(1, at(0, 0)), 0);
        assert_eq!(completed(2, at(100, 0)), 100);
        assert_eq!(completed(3, at(101, 20)), 100);
        assert_eq!(completed(4, at(0, 0)), 0);
        assert_eq!(completed(5, at(5, 0)), 5);
    }
}
