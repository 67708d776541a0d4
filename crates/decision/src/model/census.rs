//! The pods as one model sees them at one moment.

use crate::fleet::View;
use crate::moment::Moment;
use crate::pod::Phase;
use crate::reading::ServerState;

use super::start_delay::StartDelay;

/// A pod that is not ready after so many usual starts and a minute more will not help soon.
const OVERDUE: f64 = 4.0;
const OVERDUE_MORE: f64 = 60.0;

/// The pods as one model sees them. Its lists keep their memory from one decision to the next.
#[derive(Clone, Debug, Default)]
pub(crate) struct Census {
    /// Pods that serve.
    pub(crate) ready: u32,
    /// Of these, those with a fresh reading.
    pub(crate) told: u32,
    /// Pods on their way that are taking far too long.
    pub(crate) overdue: u32,
    /// All requests in all pods, those in pods that are ending too.
    pub(crate) in_system: f64,
    /// Requests in each pod that serves.
    pub(crate) own: Vec<f32>,
    /// When each pod on its way will be ready, in seconds from now, soonest first.
    pub(crate) starting: Vec<f32>,
    /// Own service times, in seconds, of the pods that know theirs.
    pub(crate) services: Vec<f32>,
    /// The mean queue latency over the pods that told one, in seconds.
    pub(crate) wait: Option<f64>,
    /// The mean over the pods that told: workers, requests a batch, seconds waited for a batch.
    pub(crate) workers: f64,
    pub(crate) batch: f64,
    pub(crate) batch_delay: f64,
    /// Pods that told of their queue, and pods that count answers.
    pub(crate) queues: u32,
    pub(crate) counting: u32,
    /// The mean time of a batch by the servers' own measure, in seconds.
    pub(crate) gauge: Option<f64>,
}

impl Census {
    /// Counts anew.
    pub(crate) fn take<'a>(
        &mut self,
        pods: impl Iterator<Item = View<'a>>,
        now: Moment,
        slot: usize,
        model: &str,
        delay: &StartDelay,
    ) {
        self.clear();
        let (mut waits, mut waiting) = (0.0, 0.0);
        let (mut gauges, mut gauged) = (0.0, 0.0);
        for view in pods {
            let trace = view.traces.get(slot);
            if let (Some(trace), Some(_)) = (trace, view.fresh(now)) {
                self.in_system += f64::from(trace.in_system);
            }
            if view.ignored() {
                continue;
            }
            if !view.pod.ready {
                self.count_start(view, now, delay);
                continue;
            }
            self.ready += 1;
            let in_system = trace.map_or(0.0, |trace| trace.in_system);
            self.own.push(in_system);
            self.services
                .extend(trace.and_then(|trace| trace.own_service()));
            let Some(reading) = view.fresh(now).filter(|reading| answers(reading.server)) else {
                continue;
            };
            self.told += 1;
            let Some(found) = reading.of_model(model) else {
                continue;
            };
            if let Some(latency) = found.queue_latency {
                waits += latency.as_secs_f64();
                waiting += 1.0;
            }
            if let Some(service) = found.service {
                gauges += service.as_secs_f64();
                gauged += 1.0;
            }
            if found
                .counters
                .is_some_and(|counters| counters.answered.is_some())
            {
                self.counting += 1;
            }
            if let Some(queue) = found.queue {
                self.queues += 1;
                self.workers += f64::from(queue.workers);
                self.batch += f64::from(queue.batch_size.max(1));
                self.batch_delay += queue.batch_delay.as_secs_f64();
            }
        }
        self.wait = (waiting > 0.0).then(|| waits / waiting);
        self.gauge = (gauged > 0.0).then(|| gauges / gauged);
        let queues = f64::from(self.queues.max(1));
        self.workers /= queues;
        self.batch = (self.batch / queues).max(1.0);
        self.batch_delay /= queues;
        self.starting.sort_unstable_by(f32::total_cmp);
    }

    fn count_start(&mut self, view: View<'_>, now: Moment, delay: &StartDelay) {
        if !matches!(view.pod.phase, Phase::Pending | Phase::Running) {
            return;
        }
        let age = now.since(view.first_seen).as_secs_f64();
        if age > OVERDUE * delay.seconds() + OVERDUE_MORE {
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
            own,
            starting,
            services,
            ..
        } = std::mem::take(self);
        *self = Self {
            own,
            starting,
            services,
            ..Self::default()
        };
        self.own.clear();
        self.starting.clear();
        self.services.clear();
    }
}

/// Its numbers say something.
fn answers(server: ServerState) -> bool {
    matches!(
        server,
        ServerState::Ready | ServerState::NoSamplesYet | ServerState::WarmingUp
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Trace;
    use crate::pod::Pod;
    use crate::reading::Reading;
    use std::time::Duration;

    #[test]
    fn a_pod_that_is_ending_serves_no_one_and_what_is_in_it_is_demand() {
        let now = Moment::from_secs(100);
        let reading = Reading {
            taken: now,
            source: 1,
            sequence: 1,
            clock: Duration::ZERO,
            fresh_for: Duration::from_secs(3),
            leaving: false,
            server: ServerState::Ready,
            models: Vec::new(),
        };
        let (stays, goes) = (
            Pod::running("stays"),
            Pod {
                deleting: true,
                ..Pod::running("goes")
            },
        );
        let traces = |in_system| {
            let mut trace = Trace::default();
            trace.in_system = in_system;
            [trace]
        };
        let (few, many) = (traces(1.0), traces(9.0));
        let view = |pod, traces| View {
            pod,
            reading: Some(&reading),
            first_seen: Moment::ORIGIN,
            traces,
        };
        let mut census = Census::default();
        let pods = [view(&stays, &few), view(&goes, &many)];
        census.take(pods.into_iter(), now, 0, "m", &StartDelay::default());
        assert_eq!((census.ready, census.told), (1, 1));
        assert!((census.in_system - 10.0).abs() < 1e-9);
        // Only until its last word is too old: then it has been answered, or lost.
        let later = Moment::from_secs(104);
        census.take(pods.into_iter(), later, 0, "m", &StartDelay::default());
        assert!((census.in_system).abs() < 1e-9);
    }
}
