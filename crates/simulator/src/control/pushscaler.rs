//! Pushscale as a controller.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use pushscale_api::push::fresh_for;
use pushscale_api::{Floor, PushScalerSpec, Schedules, SpecProblem, policy_of};
use pushscale_decision::{
    Aggregate, Algorithm, Balancing, Bounds, Conditions, Decision, Latency, ModelReading, Moment,
    Outcome, Percentile, Phase, Pod, PodUid, Policy, Reading, Scaler, Selector, ServerState,
    TargetLatency, TargetState, ViolationPrice,
};
use thiserror::Error;

use super::Controller;
use super::sidecar::{self, Sidecar};
use crate::cluster::{ClusterSpec, Deletion, PodState, PodView, ServerHealth, View};

/// The name of the pods' model, if no metric names one.
const MODEL: &str = "model";

/// Runs the aggregator's [`Scaler`]. It gets the pod events that Kubernetes would send, and one reading per pod and
/// scrape interval, as a sidecar would push it.
#[derive(Debug)]
pub struct PushScaling {
    scaler: Scaler,
    clock: Option<Clock>,
    /// The pods that the scaler knows, with their last states.
    pods: BTreeMap<u64, (PodUid, PodState)>,
    sidecars: BTreeMap<u64, Sidecar>,
    reading: Reading,
    /// Whether the sidecars have access to the management port.
    reads_queues: bool,
}

/// The clock of the schedules, which depend on the time of day.
#[derive(Debug)]
struct Clock {
    schedules: Schedules,
    start: Timestamp,
    floor: Option<Floor>,
}

/// Why a PushScaler cannot be simulated.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[expect(missing_docs, reason = "each variant's message describes it")]
pub enum PushScalerError {
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Spec(Vec<SpecProblem>),
    #[error(
        "its metrics name the models {}: simulated pods serve one, so keep the metrics of one",
        .0.join(", ")
    )]
    SeveralModels(Vec<String>),
    #[error("it has schedules: set when the load begins, such as start: 2026-01-05T08:00:00Z")]
    NoStart,
}

impl PushScaling {
    /// Creates a controller from the spec of a PushScaler. Schedules require `start`, the time of day at which the run
    /// begins.
    ///
    /// # Errors
    /// The spec is invalid or cannot be simulated.
    pub fn of_spec(
        spec: &PushScalerSpec,
        start: Option<Timestamp>,
    ) -> Result<Self, PushScalerError> {
        let policy = policy_of(spec).map_err(PushScalerError::Spec)?;
        let mut models: Vec<String> = policy
            .metrics
            .iter()
            .filter_map(|metric| metric.model.as_deref().map(ToOwned::to_owned))
            .collect();
        models.sort_unstable();
        models.dedup();
        if models.len() > 1 {
            return Err(PushScalerError::SeveralModels(models));
        }
        let schedules = spec.schedules.as_deref().unwrap_or_default();
        let clock = if schedules.is_empty() {
            None
        } else {
            Some(Clock {
                schedules: Schedules::parse(schedules).map_err(PushScalerError::Spec)?,
                start: start.ok_or(PushScalerError::NoStart)?,
                floor: None,
            })
        };
        let model = models.pop().unwrap_or_else(|| MODEL.to_owned());
        Ok(Self::new(policy, model, clock))
    }

    /// Creates a controller with the defaults, and with the goal, the violation price and the load balancing of the
    /// cluster. Returns `None` if no PushScaler can have this goal or price.
    pub fn of_cluster(spec: &ClusterSpec) -> Option<Self> {
        Self::with_aggregate(spec, Aggregate::Mean)
    }

    /// Creates a controller whose target applies to this percentile of the wait, and which is otherwise like that of
    /// [`Self::of_cluster`]. Returns `None` if no PushScaler can have this goal, price or percentile.
    pub fn of_percentile(spec: &ClusterSpec, percent: i32) -> Option<Self> {
        Self::with_aggregate(spec, Aggregate::Percentile(Percentile::new(percent)?))
    }

    fn with_aggregate(spec: &ClusterSpec, aggregate: Aggregate) -> Option<Self> {
        let goal = &spec.goal;
        let target = Latency::from_secs_f64(goal.target).and_then(TargetLatency::new)?;
        let mut policy = Policy::new(Bounds::new(goal.min, goal.max)?, target);
        policy.algorithm = Algorithm::Model;
        policy.metrics[0].aggregate = aggregate;
        if spec.balancing.pooled() {
            policy.balancing = Balancing::LeastRequest;
        }
        if let Some(pod_seconds) = spec.violation_price {
            policy.violation_price = ViolationPrice::new(pod_seconds)?;
        }
        Some(Self::new(policy, MODEL.to_owned(), None))
    }

    fn new(policy: Policy, model: String, clock: Option<Clock>) -> Self {
        let model = ModelReading {
            name: model,
            ..ModelReading::default()
        };
        Self {
            scaler: Scaler::new(policy, Conditions::default()),
            clock,
            pods: BTreeMap::new(),
            sidecars: BTreeMap::new(),
            reading: Reading {
                source: 1,
                sequence: 0,
                clock: Duration::ZERO,
                fresh_for: Duration::ZERO,
                terminating: false,
                server: ServerState::Ready,
                models: vec![model],
            },
            reads_queues: true,
        }
    }

    /// Simulates sidecars without access to the management port. The queue depth, the number of completed requests and
    /// the number of workers are then unknown. The sidecars still report the wait of recently completed requests.
    #[must_use]
    pub fn without_completion_counts(mut self) -> Self {
        self.reads_queues = false;
        self
    }

    /// Returns the conditions after the last decision.
    pub fn conditions(&self) -> &Conditions {
        self.scaler.conditions()
    }

    /// Returns the last decision.
    pub fn last_decision(&self) -> &Decision {
        self.scaler.last_decision()
    }

    /// Reports the pods to the scaler, as Kubernetes would.
    fn apply_pods(&mut self, now: Moment, pods: &[PodView]) {
        for pod in pods {
            let known = self.pods.get(&pod.id);
            if known.is_some_and(|(_, state)| *state == pod.state) {
                continue;
            }
            let uid = known.map_or_else(|| uid_of(pod.id), |(uid, _)| uid.clone());
            let facts = Pod {
                name: format!("pod-{}", pod.id).into(),
                phase: Phase::Running,
                ready: !matches!(pod.state, PodState::Starting | PodState::Unready),
                terminating: pod.state == PodState::Terminating,
            };
            self.scaler.apply_pod(now, uid.clone(), facts);
            self.pods.insert(pod.id, (uid, pod.state));
        }
        if self.pods.len() > pods.len() {
            let (scaler, sidecars) = (&mut self.scaler, &mut self.sidecars);
            // The pods are sorted by id.
            self.pods.retain(|id, (uid, _)| {
                let there = pods.binary_search_by_key(id, |pod| pod.id).is_ok();
                if !there {
                    sidecars.remove(id);
                    scaler.remove_pod(uid);
                }
                there
            });
        }
    }

    /// Passes the readings to the scaler that sidecars would push.
    fn apply_readings(&mut self, now: Moment, view: &View<'_>) {
        self.reading.fresh_for = fresh_for(view.scrape_interval.into());
        let pushes = |pod: &&PodView| {
            let reports = pod.has_pushed || pod.health != ServerHealth::Ready;
            reports && sidecar::scrapes(pod.id, view)
        };
        for pod in view.pods.iter().filter(pushes) {
            let Some((uid, _)) = self.pods.get(&pod.id) else {
                continue;
            };
            let process = || Sidecar::new(pod.id, pod.sidecar_restarts);
            let state = self.sidecars.entry(pod.id).or_insert_with(process);
            if state.restarts != pod.sidecar_restarts {
                *state = process();
            }
            let reading = &mut self.reading;
            reading.source = u64::from(pod.sidecar_restarts) + 1;
            reading.sequence = view.second as u64;
            reading.clock = now.since_origin();
            reading.server = match pod.health {
                ServerHealth::Ready => ServerState::Ready,
                ServerHealth::Frozen(_) => ServerState::Frozen,
                ServerHealth::Down => ServerState::Refused,
            };
            if pod.health != ServerHealth::Ready {
                // Without a metrics page there are no models.
                let models = std::mem::take(&mut reading.models);
                let learned = self.scaler.learn(now, uid, now, reading);
                debug_assert_eq!(learned, Ok(()));
                reading.models = models;
                continue;
            }
            let waiting = pod.reading.waiting;
            let queue = sidecar::queue(waiting, view);
            let queue = Some(&queue).filter(|_| self.reads_queues);
            for model in &mut reading.models {
                *model = state.read(&model.name, &pod.reading, view, queue);
            }
            let learned = self.scaler.learn(now, uid, now, reading);
            debug_assert_eq!(learned, Ok(()));
        }
    }
}

impl Controller for PushScaling {
    fn decide(&mut self, view: &View<'_>) -> Option<u32> {
        let now = Moment::from_secs(view.second as u64);
        self.apply_pods(now, view.pods);
        self.apply_readings(now, view);
        if let Some(clock) = &mut self.clock {
            self.scaler.set_scheduled_floor(clock.floor(view.second));
        }
        let target = TargetState::Known {
            replicas: view.replicas,
            existing: None,
            selector: Selector::Usable,
            deletes_slow_first: view.deletion == Deletion::Cost,
        };
        match self.scaler.decide(now, &target).outcome {
            Outcome::Scale { from, to, .. } => {
                self.scaler.record_scale(now, from, to);
                Some(to)
            }
            _ => None,
        }
    }

    /// As the aggregator marks pods: slow ones first, then the least loaded ones.
    fn deletion_cost(&self, pod: &PodView) -> u32 {
        let known = self.pods.get(&pod.id);
        if known.is_some_and(|(uid, _)| self.scaler.is_slow(uid)) {
            0
        } else {
            pod.reading.in_system.saturating_add(1)
        }
    }

    fn explain(&self) -> String {
        self.scaler.last_decision().to_string()
    }
}

impl Clock {
    /// Returns the scheduled floor. It is computed again only when it changes.
    fn floor(&mut self, second: usize) -> Option<u32> {
        let passed = SignedDuration::from_secs(i64::try_from(second).unwrap_or(i64::MAX));
        let now = self.start.saturating_add(passed).unwrap_or(Timestamp::MAX);
        let changed = |floor: &Floor| floor.until.is_some_and(|until| until <= now);
        if self.floor.as_ref().is_none_or(changed) {
            self.floor = Some(self.schedules.floor(now));
        }
        self.floor.as_ref().and_then(|floor| floor.replicas)
    }
}

/// Returns a uid that looks random but is the same in every run.
fn uid_of(id: u64) -> PodUid {
    PodUid::from(format!("{:016x}", id.wrapping_mul(0x9E37_79B9_7F4A_7C15)))
}
