//! The state of the fleet for one model at one moment.

use crate::fleet::FleetPod;
use crate::moment::Moment;
use crate::pod::Phase;

use super::pod_balance::{PodBalance, SlowestPod, is_slow};
use super::start_delay::StartDelay;

/// A pod is overdue if it is not ready after this many start delays, plus a minute.
const OVERDUE_DELAYS: f64 = 4.0;
const OVERDUE_SECONDS: f64 = 60.0;

/// The pods of the fleet for one model. Its buffers are reused by the next decision.
#[derive(Clone, Debug, Default)]
pub(crate) struct FleetSnapshot {
    /// Ready pods.
    pub(crate) ready: u32,
    /// Ready pods with a fresh reading.
    pub(crate) reporting: u32,
    /// Ready pods whose first requests are left out.
    pub(crate) warming_up: u32,
    /// Pods that have never been ready and should have been long ago.
    pub(crate) overdue: u32,
    /// Pods that were ready and have not been for more than a minute.
    pub(crate) lost: u32,
    /// The ready pods that report the model, compared with each other.
    pub(crate) balance: PodBalance,
    /// Waiting and in-flight requests in all pods, including terminating ones but not slow ones: other pods cannot
    /// serve the requests that wait there.
    pub(crate) in_system: f64,
    /// Waiting and in-flight requests in each ready pod that is not slow.
    pub(crate) requests_per_pod: Vec<f32>,
    /// Requests that wait in those pods, once the workers are known.
    pub(crate) waiting: f64,
    /// Seconds until each starting pod is ready, in ascending order.
    pub(crate) starting: Vec<f32>,
    /// Service times of the pods that have measured one, in seconds.
    pub(crate) services: Vec<f32>,
    /// The pod with the longest of them.
    pub(crate) slowest: Option<SlowestPod>,
    /// The mean queue latency over the pods that report one, in seconds.
    pub(crate) wait: Option<f64>,
    /// Means over the pods that report workers: workers, batch size, and batch delay in seconds.
    pub(crate) workers: f64,
    pub(crate) batch: f64,
    pub(crate) batch_delay: f64,
    /// The mean number of requests that may wait in one of those pods, if it is known.
    pub(crate) queue_limit: Option<f64>,
    /// Pods that report a queue with workers, and pods that count completed requests.
    pub(crate) queues: u32,
    pub(crate) counting: u32,
    /// The mean time of a batch as measured by the servers, in seconds.
    pub(crate) gauge: Option<f64>,
}

impl FleetSnapshot {
    /// Replaces the snapshot with the state of `pods` at `now`. A pod is slow if its requests take longer than
    /// `slow_above` seconds.
    pub(crate) fn take<'a>(
        &mut self,
        pods: impl Iterator<Item = &'a FleetPod>,
        now: Moment,
        slot: usize,
        slow_above: f64,
        delay: &StartDelay,
    ) {
        self.clear();
        let (mut waits, mut waiting) = (0.0, 0.0);
        let (mut gauges, mut gauged) = (0.0, 0.0);
        let (mut limits, mut limited) = (0.0, 0.0);
        for pod in pods {
            let history = pod.histories.get(slot);
            let time = history.and_then(|history| history.work.time_per_request());
            let is_slow = is_slow(time, slow_above);
            let reading = pod.fresh(now);
            if let (Some(history), Some(_), false) = (history, reading, is_slow) {
                self.in_system += f64::from(history.in_system);
            }
            if pod.ignored() {
                continue;
            }
            let lost = pod.lost(now);
            self.lost += u32::from(lost);
            if !pod.pod.ready {
                if lost {
                    continue;
                }
                self.count_start(pod, now, delay);
                continue;
            }
            self.ready += 1;
            self.warming_up += u32::from(history.is_none_or(|history| history.warms_up(now)));
            if !is_slow {
                let in_system = history.map_or(0.0, |history| history.in_system);
                self.requests_per_pod.push(in_system);
                if let Some(service) = history.and_then(|history| history.own_service()) {
                    self.services.push(service);
                    let queue = history.and_then(|history| history.queue());
                    let waiting = queue.map_or(0, |queue| queue.waiting);
                    let name = &pod.pod.name;
                    SlowestPod::keep_slower(&mut self.slowest, name, service, waiting);
                }
            }
            if !reading.is_some_and(|reading| reading.server.has_metrics()) {
                continue;
            }
            self.reporting += 1;
            let Some((history, found)) =
                history.and_then(|history| Some((history, history.reported?)))
            else {
                continue;
            };
            let queued = found.queue.map_or(0, |queue| queue.waiting);
            self.balance
                .add(&pod.pod.name, &history.work, time, is_slow, queued);
            if let Some(wait) = found.wait.filter(|_| !is_slow) {
                waits += wait;
                waiting += 1.0;
            }
            if let Some(service) = found.service {
                gauges += service;
                gauged += 1.0;
            }
            self.counting += u32::from(found.counts);
            // A pod that is ready before it has loaded the model has no workers yet. With it in the mean, each order
            // made the next one larger, up to nine times the need.
            if let Some(queue) = found.queue.filter(|queue| queue.workers > 0) {
                self.queues += 1;
                self.workers += f64::from(queue.workers);
                self.batch += f64::from(queue.batch_size.max(1));
                self.batch_delay += found.batch_delay;
                if let Some(limit) = queue.limit {
                    limits += f64::from(limit);
                    limited += 1.0;
                }
            }
        }
        self.wait = (waiting > 0.0).then(|| waits / waiting);
        self.gauge = (gauged > 0.0).then(|| gauges / gauged);
        let queues = f64::from(self.queues.max(1));
        self.workers /= queues;
        self.batch = (self.batch / queues).max(1.0);
        self.batch_delay /= queues;
        self.queue_limit = (limited > 0.0).then(|| limits / limited);
        self.starting.sort_unstable_by(f32::total_cmp);
    }

    fn count_start(&mut self, pod: &FleetPod, now: Moment, delay: &StartDelay) {
        if !matches!(pod.pod.phase, Phase::Pending | Phase::Running) {
            return;
        }
        let age = now.since(pod.first_seen).as_secs_f64();
        let overdue = age > OVERDUE_DELAYS * delay.seconds() + OVERDUE_SECONDS;
        if overdue && !pod.was_ready() {
            self.overdue += 1;
            return;
        }
        #[expect(
            clippy::cast_possible_truncation,
            reason = "seconds until a pod is ready"
        )]
        self.starting.push((delay.seconds() - age).max(1.0) as f32);
    }

    fn clear(&mut self) {
        let Self {
            requests_per_pod,
            starting,
            services,
            balance,
            ..
        } = std::mem::take(self);
        *self = Self {
            requests_per_pod,
            starting,
            services,
            balance,
            ..Self::default()
        };
        self.requests_per_pod.clear();
        self.starting.clear();
        self.services.clear();
        self.balance.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::Fleet;
    use crate::model::PodHistory;
    use crate::pod::{Pod, PodUid};
    use crate::reading::{Reading, ServerState};
    use std::sync::Arc;
    use std::time::Duration;

    #[test]
    fn requests_in_a_terminating_pod_count_as_demand_but_the_pod_does_not_serve() {
        let now = Moment::from_secs(100);
        let reading = Arc::new(Reading {
            fresh_for: Duration::from_secs(3),
            server: ServerState::Ready,
            ..Reading::blank()
        });
        let mut fleet = Fleet::default();
        let mut add = |name: &str, terminating, in_system| {
            let pod = Pod {
                terminating,
                ..Pod::running(name)
            };
            let uid = PodUid::from(name);
            fleet.apply(Moment::ORIGIN, uid.clone(), pod);
            fleet.learn(now, &uid, now, &reading).unwrap();
            let pod = fleet.get_mut(&uid).unwrap();
            let mut history = PodHistory::default();
            history.in_system = in_system;
            pod.histories.push(history);
        };
        add("serving", false, 1.0);
        add("terminating", true, 9.0);
        let mut snapshot = FleetSnapshot::default();
        let mut take = |at| {
            let delay = StartDelay::default();
            snapshot.take(fleet.pods(), at, 0, f64::INFINITY, &delay);
            (snapshot.ready, snapshot.reporting, snapshot.in_system)
        };
        assert_eq!(take(now), (1, 1, 10.0));
        // Once its last reading is stale, its requests have been completed or lost.
        assert_eq!(take(Moment::from_secs(104)), (1, 0, 0.0));
    }
}
