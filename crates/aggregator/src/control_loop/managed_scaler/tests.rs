//! A scaler without a control loop: inputs and their effects.

use std::time::Duration;

use pushscale_api::{PushScalerSpec, PushScalerStatus, ScaleChange, Schedules, policy_of};
use pushscale_decision::{
    Decision, Latency, ModelReading, Pod, PodUid, Queue, Reading, ServerState, TargetState,
};
use serde_json::{Value, json};
use tokio::sync::oneshot::error::TryRecvError;
use tokio::time::Instant;

use super::*;
use crate::control_loop::effect::Effect;
use crate::control_loop::effect::ScaleWrite;
use crate::event::{DeletionFacts, WatchId};
use crate::names::{ScalerKey, TargetRef};
use crate::scale_target::{Scale, ScaleError, Written};

/// What the tests of the control loop see of a scaler.
impl ManagedScaler {
    pub(crate) fn in_flight(&self) -> Option<&ScaleChange> {
        self.object.replicas.in_flight()
    }

    pub(crate) fn has_written(&self) -> bool {
        self.object.replicas.has_written()
    }

    pub(crate) fn is_taking_over(&self) -> bool {
        self.object.replicas.is_taking_over()
    }

    pub(crate) fn scale(&self) -> Option<&Result<Scale, ScaleError>> {
        self.object.replicas.scale()
    }

    pub(crate) fn shared_pods(&self) -> usize {
        self.object.shared_pods()
    }

    pub(crate) fn last_decision(&self) -> &Decision {
        self.decisions.last().unwrap()
    }

    pub(crate) fn deletes_slow_first(&self, marks_pods: bool) -> bool {
        match self.object.state(marks_pods) {
            Some(TargetState::Known {
                deletes_slow_first, ..
            }) => deletes_slow_first,
            target => panic!("{target:?}"),
        }
    }
}

const POD: &str = "torchserve-0";

const LIMITS: Limits = Limits {
    recorded_bytes: 1 << 20,
    marks_pods: false,
};

fn spec(changes: Value) -> Arc<PushScalerSpec> {
    let mut spec = json!({
        "scaleTargetRef": { "apiVersion": "apps/v1", "kind": "Deployment", "name": "torchserve" },
        "minReplicas": 1,
        "maxReplicas": 40,
        "algorithm": "Ratio",
        "metrics": [{ "type": "QueueLatency", "queueLatency": { "target": "1s" } }],
    });
    if let Value::Object(changes) = changes {
        spec.as_object_mut().unwrap().extend(changes);
    }
    Arc::new(serde_json::from_value(spec).unwrap())
}

fn facts(generation: i64, changes: Value) -> ScalerFacts {
    let spec = spec(changes);
    let schedules = spec.schedules.clone().unwrap_or_default();
    let watch = WatchId {
        scaler: ScalerKey::new("models", "torchserve"),
        number: 1,
    };
    let target = TargetRef::deployment("models", "torchserve");
    let mut facts = ScalerFacts::new(watch, target, policy_of(&spec).unwrap());
    facts.generation = Some(generation);
    facts.schedules = Schedules::parse(&schedules).unwrap();
    facts.spec = Some(spec);
    facts
}

fn scale(replicas: u32) -> Scale {
    Scale {
        replicas,
        existing: None,
        selector: "app=torchserve".to_owned(),
        uid: None,
        version: 0,
    }
}

/// A scaler, and the second of its inputs.
struct Fixture {
    scaler: ManagedScaler,
    context: Context,
}

impl Fixture {
    /// Creates a scaler of one pod.
    fn new(leads: bool) -> Self {
        let clock = "2026-03-02T08:00:00Z".parse().unwrap();
        let mut context = Context::new(Moment::from_secs(1000), Instant::now(), clock, leads);
        let mut scaler = ManagedScaler::new(context.now, &facts(1, json!({})));
        let read = ScaleRead {
            start: context.instant,
            written_by_us: false,
            scale: Ok(scale(1)),
        };
        scaler.apply_scale(&mut context, read);
        let (uid, pod) = (PodUid::from(POD), Pod::running(POD));
        scaler.apply_pod(&mut context, &uid, &pod, DeletionFacts::default());
        scaler.object.pods_listed(&mut context, &[uid].into());
        Self { scaler, context }
    }

    fn advance(&mut self, seconds: u64) {
        let by = Duration::from_secs(seconds);
        self.context.now = self.context.now.plus(by);
        self.context.instant += by;
        self.context.clock += by;
    }

    /// Reports this queue latency for the pod.
    fn learn(&mut self, latency: Duration) {
        let now = self.context.now;
        let latency = Latency::from_nanos(latency.as_nanos().try_into().unwrap());
        let reading = Reading {
            source: 1,
            sequence: now.since_origin().as_secs(),
            clock: now.since_origin(),
            fresh_for: Duration::from_secs(3),
            terminating: false,
            server: ServerState::Ready,
            models: vec![ModelReading {
                name: "resnet".into(),
                queue_latency: Some(latency),
                queue: Some(Queue::default()),
                ..ModelReading::default()
            }],
        };
        self.scaler
            .learn(&mut self.context, &POD.into(), now, &Arc::new(reading))
            .unwrap();
    }

    /// Wakes the scaler. Returns the effects since the last time.
    fn wake(&mut self) -> Vec<Effect> {
        self.scaler.wake(&mut self.context, LIMITS);
        self.context.take().0
    }

    /// Reports ten times the target latency until a write begins. Returns the write.
    fn overload(&mut self) -> ScaleWrite {
        for _ in 0..60 {
            self.advance(1);
            self.learn(Duration::from_secs(10));
            let write = self.wake().into_iter().find_map(|effect| match effect {
                Effect::Write(write) => Some(write),
                _ => None,
            });
            if let Some(write) = write {
                return write;
            }
        }
        panic!("nothing is written");
    }
}

fn statuses(effects: Vec<Effect>) -> Vec<PushScalerStatus> {
    let statuses = effects.into_iter().filter_map(|effect| match effect {
        Effect::Status(status) => Some(*status),
        _ => None,
    });
    statuses.collect()
}

#[test]
fn a_write_is_requested_once_and_published_when_it_has_ended() {
    let mut fixture = Fixture::new(true);
    let write = fixture.overload();
    assert_eq!(write.from, 1);
    assert!(write.to > 1, "{write:?}");
    fixture.advance(1);
    fixture.learn(Duration::from_secs(10));
    let effects = fixture.wake();
    let changes = |effect: &&Effect| {
        matches!(
            effect,
            Effect::Write(_) | Effect::Status(_) | Effect::Event(_) | Effect::WriteCheckpoint(_)
        )
    };
    assert!(
        !effects.iter().any(|effect| changes(&effect)),
        "{effects:?}"
    );
    let outcome = Ok(Written::Done(scale(write.to)));
    let Fixture { scaler, context } = &mut fixture;
    scaler.write_finished(context, (1, write.to), None, outcome);
    let effects = context.take().0;
    let events = effects.iter().filter_map(|effect| match effect {
        Effect::Event(event) => Some(event.reason.as_str()),
        _ => None,
    });
    assert_eq!(events.collect::<Vec<_>>(), ["SuccessfulRescale"]);
    let change = &statuses(effects)[0].history[0];
    assert_eq!((change.from, change.to), (1, write.to.cast_signed()));
}

#[test]
fn a_follower_decides_and_changes_nothing() {
    let mut fixture = Fixture::new(false);
    let mut decided = 0;
    for _ in 0..60 {
        fixture.advance(1);
        fixture.learn(Duration::from_secs(10));
        for effect in fixture.wake() {
            match effect {
                Effect::Decided(decision) => {
                    assert!(!decision.leads);
                    decided += 1;
                }
                Effect::ReadCheckpoint(_) | Effect::Load(_) | Effect::UpdateMetrics => {}
                effect => panic!("{effect:?}"),
            }
        }
    }
    assert!(decided > 50, "{decided}");
}

#[test]
fn mode_off_cancels_a_write_in_flight() {
    let mut fixture = Fixture::new(true);
    let mut write = fixture.overload();
    assert_eq!(write.cancelled.try_recv(), Err(TryRecvError::Empty));
    let Fixture { scaler, context } = &mut fixture;
    assert!(scaler.apply(context, &facts(2, json!({ "mode": "Off" }))));
    assert_eq!(write.cancelled.try_recv(), Err(TryRecvError::Closed));
}

#[test]
fn a_status_is_reported_until_it_was_queued() {
    let mut fixture = Fixture::new(true);
    fixture.learn(Duration::ZERO);
    let dropped = statuses(fixture.wake());
    fixture.advance(1);
    let queued = statuses(fixture.wake());
    assert_eq!((dropped.len(), queued.len()), (1, 1));
    let now = fixture.context.now;
    fixture
        .scaler
        .publisher
        .status_queued(now, queued[0].clone());
    fixture.advance(1);
    assert_eq!(statuses(fixture.wake()), [], "it is unchanged");
}
