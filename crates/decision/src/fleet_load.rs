//! The load of the pods that report, summed up for consumers that do their own arithmetic.

use std::time::Duration;

use crate::fleet::FleetPod;
use crate::moment::Moment;
use crate::pod::Phase;
use crate::reading::Reading;

/// The load of a target's pods. Terminating, failed and starting pods are left out, as in
/// [`Freshness`](crate::Freshness).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FleetLoad {
    /// Pods with a fresh reading and a queue latency.
    pub reporting: u32,
    /// Running pods, reporting or not.
    pub running: u32,
    /// The sum of the queue latencies of the pods that report; of several models in a pod, the largest.
    pub total_wait: Duration,
    /// The sum of the waiting requests of all running pods; `None` if one of them does not report its queue.
    pub waiting: Option<u64>,
}

impl FleetLoad {
    /// Sums up `pods` at `now`.
    pub(crate) fn measure<'a>(pods: impl Iterator<Item = &'a FleetPod>, now: Moment) -> Self {
        let mut load = Self {
            waiting: Some(0),
            ..Self::default()
        };
        for pod in pods {
            let reading = pod
                .fresh(now)
                .filter(|reading| reading.server.has_metrics());
            let starting = !pod.pod.ready && !pod.was_ready() && reading.is_none();
            if pod.ignored() || pod.pod.phase == Phase::Pending || starting {
                continue;
            }
            load.running += 1;
            let waiting = reading.and_then(waiting);
            load.waiting = load.waiting.zip(waiting).map(|(sum, one)| sum + one);
            let Some(latency) = pod.latency(now, None) else {
                continue;
            };
            load.reporting += 1;
            let nanos = u64::try_from(latency.as_nanos()).unwrap_or_default();
            load.total_wait = load.total_wait.saturating_add(Duration::from_nanos(nanos));
        }
        load
    }
}

/// Returns the waiting requests of all models; `None` if the queue of one is unknown.
fn waiting(reading: &Reading) -> Option<u64> {
    let queues = reading.models.iter().map(|model| model.queue);
    queues
        .map(|queue| queue.map(|queue| u64::from(queue.waiting)))
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conditions::Conditions;
    use crate::latency::Latency;
    use crate::pod::{Pod, PodUid};
    use crate::policy::{Bounds, Policy, TargetLatency};
    use crate::reading::{ModelReading, Queue, ServerState};
    use crate::scaler::Scaler;

    fn scaler(pods: &[&str]) -> Scaler {
        let bounds = Bounds::new(1, 10).unwrap();
        let target = TargetLatency::new(Latency::from_nanos(1)).unwrap();
        let mut scaler = Scaler::new(Policy::new(bounds, target), Conditions::default());
        for pod in pods {
            scaler.apply_pod(Moment::ORIGIN, PodUid::from(*pod), Pod::running(pod));
        }
        scaler
    }

    fn push(scaler: &mut Scaler, pod: &str, second: u64, models: &[(i64, Option<u32>)]) {
        let models = models
            .iter()
            .enumerate()
            .map(|(index, (seconds, waiting))| {
                let queue = waiting.map(|waiting| Queue {
                    waiting,
                    ..Queue::default()
                });
                ModelReading {
                    name: index.to_string(),
                    queue_latency: Some(Latency::from_nanos(seconds * 1_000_000_000)),
                    queue,
                    ..ModelReading::default()
                }
            });
        push_models(scaler, pod, second, ServerState::Ready, models.collect());
    }

    fn push_models(
        scaler: &mut Scaler,
        pod: &str,
        second: u64,
        server: ServerState,
        models: Vec<ModelReading>,
    ) {
        let reading = Reading {
            source: 1,
            sequence: second,
            clock: Duration::from_secs(second),
            fresh_for: Duration::from_secs(3),
            server,
            models,
            ..Reading::blank()
        };
        let now = Moment::from_secs(second);
        scaler
            .learn(now, &PodUid::from(pod), now, &reading)
            .unwrap();
    }

    #[test]
    fn the_largest_model_of_each_pod_counts() {
        let mut scaler = scaler(&["a", "b"]);
        push(&mut scaler, "a", 1, &[(2, Some(3)), (5, Some(1))]);
        push(&mut scaler, "b", 1, &[(1, Some(2))]);
        let load = scaler.load(Moment::from_secs(1));
        let expected = FleetLoad {
            reporting: 2,
            running: 2,
            total_wait: Duration::from_secs(6),
            waiting: Some(6),
        };
        assert_eq!(load, expected);
    }

    #[test]
    fn the_queue_of_a_pod_that_does_not_report_it_is_unknown() {
        let mut scaler = scaler(&["a", "b"]);
        push(&mut scaler, "a", 1, &[(2, Some(3))]);
        push(&mut scaler, "b", 1, &[(1, None)]);
        assert_eq!(scaler.load(Moment::from_secs(1)).waiting, None);
    }

    /// Its sidecar pushes while TorchServe starts. An HPA that got an error meanwhile kept its replicas in a burst.
    #[test]
    fn the_queue_of_a_pod_that_starts_is_known_once_it_has_one() {
        let mut scaler = scaler(&["a"]);
        let pod = Pod {
            ready: false,
            ..Pod::running("b")
        };
        scaler.apply_pod(Moment::ORIGIN, PodUid::from("b"), pod);
        push(&mut scaler, "a", 1, &[(2, Some(3))]);
        let mut push_state = |second, server, waiting| {
            let model = ModelReading {
                queue: Some(Queue {
                    waiting,
                    ..Queue::default()
                }),
                ..ModelReading::default()
            };
            push_models(&mut scaler, "b", second, server, vec![model]);
            scaler.load(Moment::from_secs(second))
        };
        let starting = push_state(1, ServerState::Refused, 0);
        assert_eq!((starting.running, starting.waiting), (1, Some(3)));
        let loading = push_state(2, ServerState::WarmingUp, 4);
        assert_eq!((loading.running, loading.waiting), (2, Some(7)));
    }

    #[test]
    fn the_load_of_a_silent_pod_is_unknown() {
        let mut scaler = scaler(&["a", "b"]);
        push(&mut scaler, "a", 1, &[(2, Some(3))]);
        push(&mut scaler, "b", 5, &[(1, Some(2))]);
        let load = scaler.load(Moment::from_secs(5));
        let expected = FleetLoad {
            reporting: 1,
            running: 2,
            total_wait: Duration::from_secs(1),
            waiting: None,
        };
        assert_eq!(load, expected);
        assert_eq!(scaler.load(Moment::from_secs(60)).reporting, 0);
    }
}
