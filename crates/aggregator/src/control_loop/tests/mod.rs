//! The control loop without a cluster: the tests send the events, and writes are recorded.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use prometheus_client::registry::Registry;
use pushscale_api::{PushScalerCheckpoint, PushScalerSpec, ScaleChange, Schedules, policy_of};
use pushscale_daemon::http_server::Limits;
use pushscale_daemon::readiness::Readiness;
use pushscale_decision::{
    Conditions, FleetLoad, Latency, ModelReading, Pod, PodUid, Queue, Reading, SYNC_PERIOD,
    Selector, ServerState,
};
use pushscale_external_metrics::Sample;
use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::managed_scaler::ManagedScaler;
use super::*;
use crate::auth::PodIdentity;
use crate::event::{
    CompetingHpa, DeletionFacts, Pushed, ReceivedReading, ScalerDeletion, ScalerFacts,
    StoredStatus, Verdict, WatchId,
};
use crate::history::{History, ScalerHistory};
use crate::names::{ScalerKey, TargetRef};
use crate::report::EventReport;
use crate::run::STALLED_AFTER;
use crate::scale_target::{MarkResult, PodRef, Scale, ScaleError, Written};

mod audit;
mod checkpoint;
mod heartbeat;
mod history;
mod load;
mod on_delete;
mod slow_pods;
mod writes;

const NAMESPACE: &str = "models";

type Writes = Arc<Mutex<Vec<(u32, u32)>>>;

/// The uid of the target.
const TARGET_UID: &str = "torchserve-uid";

/// What a write does.
#[derive(Clone, Copy, Default)]
enum Behavior {
    #[default]
    Stores,
    /// Stores, but the response is lost.
    StoresAndFails,
    /// Stores nothing, as under a policy that rejects the replica count.
    Rejects,
    /// Stores a replica count, but no finalizers.
    RejectsFinalizers,
    /// Does not respond.
    Hangs,
}

#[derive(Clone, Default)]
struct FakeTarget {
    writes: Writes,
    behavior: Arc<Mutex<Behavior>>,
    /// What a read returns.
    replicas: Arc<Mutex<u32>>,
    /// The finalizers that were set.
    finalizers: Arc<Mutex<Vec<Vec<String>>>>,
    /// What a read of a checkpoint returns; `None`: the API server does not respond.
    checkpoint: Arc<Mutex<Option<Option<PushScalerCheckpoint>>>>,
    /// The number of those reads.
    checkpoint_reads: Arc<Mutex<u32>>,
    /// What marking pods returns; `None` if it does not mark any.
    marks: Arc<Mutex<Option<MarkResult>>>,
    /// The pods that were unmarked.
    unmarked: Arc<Mutex<Vec<String>>>,
    /// The number of writes that were abandoned.
    abandoned: Arc<Mutex<u32>>,
}

/// Counts a write that is abandoned.
struct Abandoned(Arc<Mutex<u32>>);

impl Drop for Abandoned {
    fn drop(&mut self) {
        *self.0.lock() += 1;
    }
}

impl ScaleTarget for FakeTarget {
    fn read<'a>(&'a self, _: &'a TargetRef) -> BoxFuture<'a, Result<Scale, ScaleError>> {
        Box::pin(std::future::ready(Ok(scale(*self.replicas.lock()))))
    }

    fn write<'a>(
        &'a self,
        _: &'a TargetRef,
        uid: Option<&'a str>,
        from: u32,
        to: u32,
    ) -> BoxFuture<'a, Result<Written, ScaleError>> {
        assert_eq!(uid, Some(TARGET_UID));
        let behavior = *self.behavior.lock();
        self.writes.lock().push((from, to));
        if matches!(behavior, Behavior::Hangs) {
            let abandoned = Abandoned(Arc::clone(&self.abandoned));
            return Box::pin(async move {
                let _abandoned = abandoned;
                std::future::pending().await
            });
        }
        let result = match behavior {
            Behavior::Stores | Behavior::RejectsFinalizers => Ok(Written::Done(scale(to))),
            Behavior::StoresAndFails | Behavior::Rejects | Behavior::Hangs => {
                Err(ScaleError::Other {
                    target: "Deployment/torchserve".to_owned(),
                    message: "timed out".to_owned(),
                })
            }
        };
        Box::pin(std::future::ready(result))
    }

    fn marks_pods(&self) -> bool {
        self.marks.lock().is_some()
    }

    fn mark_for_deletion<'a>(
        &'a self,
        _: &'a TargetRef,
        _: &'a [PodRef],
    ) -> BoxFuture<'a, MarkResult> {
        let result = self.marks.lock().clone();
        Box::pin(std::future::ready(result.unwrap_or_default()))
    }

    fn unmark<'a>(&'a self, _: &'a TargetRef, pods: &'a [PodRef]) -> BoxFuture<'a, MarkResult> {
        let names = pods.iter().map(|pod| pod.name.clone());
        self.unmarked.lock().extend(names);
        Box::pin(std::future::ready(MarkResult::default()))
    }

    fn set_finalizers<'a>(
        &'a self,
        _: &'a ScalerKey,
        _: &'a str,
        finalizers: &'a [String],
    ) -> BoxFuture<'a, Result<(), ScaleError>> {
        let result = match *self.behavior.lock() {
            Behavior::RejectsFinalizers => Err(ScaleError::Other {
                target: "finalizers of PushScaler a".to_owned(),
                message: "timed out".to_owned(),
            }),
            Behavior::Stores | Behavior::StoresAndFails | Behavior::Rejects | Behavior::Hangs => {
                self.finalizers.lock().push(finalizers.to_vec());
                Ok(())
            }
        };
        Box::pin(std::future::ready(result))
    }

    fn read_checkpoint<'a>(
        &'a self,
        _: &'a ScalerKey,
    ) -> BoxFuture<'a, Result<Option<PushScalerCheckpoint>, ScaleError>> {
        *self.checkpoint_reads.lock() += 1;
        let found = self.checkpoint.lock().clone();
        Box::pin(std::future::ready(found.ok_or_else(|| ScaleError::Other {
            target: "checkpoint".to_owned(),
            message: "timed out".to_owned(),
        })))
    }
}

fn scale(replicas: u32) -> Scale {
    Scale {
        replicas,
        existing: None,
        selector: "app=torchserve".to_owned(),
        uid: Some(TARGET_UID.to_owned()),
        version: 0,
    }
}

/// A control loop whose events are handled one by one.
struct Fixture {
    control_loop: ControlLoop,
    events: mpsc::Receiver<Event>,
    reports: mpsc::Receiver<Report>,
    target: FakeTarget,
    external_metrics: Store,
    history: History,
    history_task: BoxFuture<'static, ()>,
    reread: Arc<Notify>,
    /// Who wrote the replicas, as a read for a new leader returns it.
    written_by_us: bool,
    readiness: Readiness,
    sequence: u64,
    /// The history in the status of a PushScaler that is applied.
    changes: Vec<ScaleChange>,
    /// What its deletion depends on.
    deletion: ScalerDeletion,
}

impl Verdict {
    fn is_accepted(&self) -> bool {
        matches!(self, Self::Accepted { .. })
    }
}

impl Fixture {
    /// Starts without PushScalers and HPAs, both listed.
    fn start() -> Self {
        Self::unlisted().listed()
    }

    /// Reports that all objects have been listed.
    fn listed(mut self) -> Self {
        self.handle(Event::ScalersListed(BTreeSet::new()));
        self.handle(Event::HpasListed(BTreeSet::new()));
        self
    }

    fn unlisted() -> Self {
        Self::with(Leadership::unlimited())
    }

    fn with(leadership: Leadership) -> Self {
        let metrics = Metrics::register(&mut Registry::default());
        let (events_tx, events) = mpsc::channel(64);
        let (reports_tx, reports) = mpsc::channel(1024);
        let target = FakeTarget::default();
        let external_metrics = Store::default();
        let readiness = Readiness::default();
        let reread = Arc::new(Notify::new());
        let (history, history_tx, history_task) = History::start(metrics.clone());
        let mut control_loop = ControlLoop::new(
            Backends {
                scale_target: Arc::new(target.clone()),
                events_tx,
                reports: reports_tx,
                leadership,
                reread: Arc::clone(&reread),
                external_metrics: Some(external_metrics.clone()),
                history: history_tx,
                heartbeat: Heartbeat::new(STALLED_AFTER),
            },
            Arc::new(Authenticator::new(
                None,
                &Limits::default(),
                metrics.clone(),
            )),
            metrics,
            Readiness::default().latch(),
            readiness.latch(),
        );
        // Which intervals of ten seconds a test sees must not depend on the time of day.
        control_loop.scalers.clock.unix = Duration::from_secs(1_800_000_000);
        Self {
            control_loop,
            events,
            reports,
            target,
            external_metrics,
            history,
            history_task: Box::pin(history_task),
            reread,
            written_by_us: true,
            readiness,
            sequence: 0,
            changes: Vec::new(),
            deletion: ScalerDeletion::default(),
        }
    }

    fn handle(&mut self, event: Event) {
        self.control_loop.handle(event);
        self.control_loop.decide_due();
    }

    /// Advances the time by `time`, in steps of 100 ms.
    async fn advance(&mut self, time: Duration) {
        let end = Instant::now() + time;
        while Instant::now() < end {
            tokio::time::sleep(Duration::from_millis(100)).await;
            while let Ok(event) = self.events.try_recv() {
                self.control_loop.handle(event);
            }
            if self.reread.notified().now_or_never().is_some() {
                let replicas = *self.target.replicas.lock();
                self.read_by("a", replicas, self.written_by_us);
                self.read_statuses();
            }
            self.control_loop.decide_due();
        }
    }

    /// Reports a read of the scale that begins now.
    fn read(&mut self, name: &str, replicas: u32) {
        self.read_by(name, replicas, true);
    }

    fn read_by(&mut self, name: &str, replicas: u32, written_by_us: bool) {
        self.handle(Event::TargetRead {
            watch: watch(name),
            start: Instant::now(),
            written_by_us,
            scale: Ok(scale(replicas)),
        });
    }

    /// Reports a read of all statuses that begins now: those that a PushScaler applied now would have.
    fn read_statuses(&mut self) {
        let status = |scaler: &ManagedScaler| StoredStatus {
            uid: scaler.id.uid.clone(),
            target: scaler.id.target.clone(),
            last_scale_time: None,
            transitions: Vec::new(),
            changes: self.changes.clone(),
            replicas_before: self.deletion.replicas_before,
        };
        let scalers = self.control_loop.scalers.iter();
        let statuses = scalers.map(|(key, scaler)| (key.clone(), status(scaler)));
        self.handle(Event::StatusesRead {
            start: Instant::now(),
            statuses: statuses.collect(),
        });
    }

    /// Applies a PushScaler whose spec is the default with these changes.
    fn apply(&mut self, name: &str, generation: i64, changes: &Value) {
        let mut spec = json!({
            "scaleTargetRef": { "apiVersion": "apps/v1", "kind": "Deployment", "name": "torchserve" },
            "minReplicas": 1,
            "maxReplicas": 40,
            "algorithm": "Ratio",
            "metrics": [{ "type": "QueueLatency", "queueLatency": { "target": "1s" } }],
        });
        for (key, value) in changes.as_object().unwrap() {
            spec[key] = value.clone();
        }
        let spec: PushScalerSpec = serde_json::from_value(spec).unwrap();
        let reference = spec.scale_target_ref.clone();
        let schedules = spec.schedules.clone().unwrap_or_default();
        self.handle(Event::ScalerApplied(Arc::new(ScalerFacts {
            key: key(name),
            uid: format!("{name}-uid"),
            generation: Some(generation),
            labels: BTreeMap::from([("team".to_owned(), name.to_owned())]),
            target: target(&reference.name),
            watch: watch(name),
            policy: policy_of(&spec),
            schedules: Schedules::parse(&schedules).unwrap_or_default(),
            spec: Some(Arc::new(spec)),
            conditions: Conditions::default(),
            last_scale_time: None,
            transitions: Vec::new(),
            changes: self.changes.clone(),
            deletion: self.deletion.clone(),
        })));
    }

    /// Reports the target's scale and running pods to the scaler `name`.
    fn observe(&mut self, name: &str, replicas: u32, pods: &[&str]) {
        self.read(name, replicas);
        self.observe_pods(name, pods);
    }

    /// Reports running pods to the scaler `name`.
    fn observe_pods(&mut self, name: &str, pods: &[&str]) {
        for pod in pods {
            self.handle(Event::PodApplied {
                watch: watch(name),
                uid: PodUid::from(*pod),
                pod: Pod::running(pod),
                deletion: DeletionFacts::default(),
            });
        }
        self.handle(Event::PodsListed {
            watch: watch(name),
            uids: pods.iter().map(|pod| PodUid::from(*pod)).collect(),
        });
    }

    /// Returns the history of a scaler, with everything that was sent to it.
    fn recorded(&mut self, name: &str) -> Arc<ScalerHistory> {
        while (&mut self.history_task).now_or_never().is_none()
            && !self.control_loop.scalers.reporter.history.is_idle()
        {}
        self.history.get(&key(name)).unwrap()
    }

    /// Returns the newest sample behind the external metrics.
    fn external_sample(&self, name: &str) -> Sample {
        let scaler = self.external_metrics.get(NAMESPACE, name).unwrap();
        scaler.sample.unwrap()
    }

    /// Pushes a reading of a pod with this many waiting requests.
    fn push(&mut self, pod: &str, waiting: u32) -> Verdict {
        let model = ModelReading {
            queue_latency: Some(Latency::from_nanos(i64::from(waiting) * 1_000_000_000)),
            queue: Some(Queue {
                waiting,
                ..Queue::default()
            }),
            ..ModelReading::default()
        };
        self.push_model(pod, model)
    }

    fn push_model(&mut self, pod: &str, model: ModelReading) -> Verdict {
        self.push_last(pod, model, false)
    }

    /// Pushes a reading, as a terminating pod if `terminating`.
    fn push_last(&mut self, pod: &str, model: ModelReading, terminating: bool) -> Verdict {
        self.sequence += 1;
        let (reply, mut verdict) = oneshot::channel();
        self.handle(Event::Pushed(Box::new(Pushed {
            pod: Arc::new(PodIdentity {
                namespace: NAMESPACE.to_owned(),
                name: pod.to_owned(),
                uid: PodUid::from(pod),
            }),
            received: Instant::now(),
            reading: ReceivedReading {
                age: Duration::ZERO,
                reading: Reading {
                    source: 1,
                    sequence: self.sequence,
                    clock: self.control_loop.scalers.clock.now().since_origin(),
                    fresh_for: Duration::from_secs(3),
                    terminating,
                    server: ServerState::Ready,
                    models: vec![model],
                },
            },
            reply,
            reservation: None,
        })));
        verdict.try_recv().unwrap()
    }

    fn scaler(&self, name: &str) -> &ManagedScaler {
        self.control_loop.scalers.get(&key(name)).unwrap()
    }

    fn conflict(&self, name: &str) -> Option<&str> {
        self.scaler(name).object.conflicts_with()
    }

    /// Returns the last reported status of the scaler as JSON.
    fn last_status(&mut self, name: &str) -> Value {
        let mut last = Value::Null;
        while let Ok(report) = self.reports.try_recv() {
            if let Report::Status(report) = report
                && report.scaler == key(name)
            {
                last = serde_json::to_value(report.status).unwrap();
            }
        }
        last
    }
}

fn key(name: &str) -> ScalerKey {
    ScalerKey::new(NAMESPACE, name)
}

fn watch(name: &str) -> WatchId {
    WatchId {
        scaler: key(name),
        number: 1,
    }
}

fn target(name: &str) -> TargetRef {
    TargetRef::deployment(NAMESPACE, name)
}

fn invalid_schedule() -> Value {
    json!({ "schedules": [{
        "name": "day", "cron": "0 8 * * *", "duration": "8h", "timezone": "Mars/Olympus", "minReplicas": 2,
    }] })
}

#[tokio::test(start_paused = true)]
async fn a_spec_that_was_invalid_for_a_moment_keeps_its_pods() {
    let mut fixture = Fixture::start();
    fixture.apply("a", 1, &json!({}));
    fixture.observe("a", 2, &["pod-0", "pod-1"]);
    assert!(fixture.push("pod-0", 0).is_accepted());
    fixture.apply("a", 2, &invalid_schedule());
    fixture.advance(Duration::from_secs(2)).await;
    assert!(fixture.push("pod-0", 0).is_accepted());
    let status = fixture.last_status("a").to_string();
    assert!(status.contains("InvalidSpec"), "{status}");
    fixture.apply("a", 3, &json!({}));
    for pod in ["pod-0", "pod-1"] {
        fixture.advance(Duration::from_secs(1)).await;
        assert!(fixture.push(pod, 0).is_accepted());
    }
    let status = fixture.last_status("a");
    assert_eq!(status["pods"]["fresh"], 2, "{status}");
}

#[tokio::test(start_paused = true)]
async fn a_spec_that_is_invalid_at_first_learns_its_pods_once_it_is_valid() {
    let mut fixture = Fixture::start();
    fixture.apply("a", 1, &invalid_schedule());
    fixture.observe("a", 2, &["pod-0", "pod-1"]);
    fixture.apply("a", 2, &json!({}));
    for pod in ["pod-0", "pod-1"] {
        fixture.advance(Duration::from_secs(1)).await;
        assert!(fixture.push(pod, 0).is_accepted());
    }
    fixture.advance(Duration::from_secs(1)).await;
    let status = fixture.last_status("a");
    assert_eq!(status["pods"]["fresh"], 2, "{status}");
}

#[tokio::test(start_paused = true)]
async fn a_second_scaler_that_only_recommends_does_not_stop_the_first() {
    for mode in ["Recommend", "Off"] {
        let mut fixture = Fixture::start();
        fixture.apply("a", 1, &json!({}));
        fixture.observe("a", 1, &["pod-0"]);
        fixture.apply("b", 1, &json!({ "mode": mode }));
        fixture.observe("b", 1, &["pod-0"]);
        for _ in 0..30 {
            fixture.push("pod-0", 50);
            fixture.advance(Duration::from_secs(1)).await;
        }
        let writes = fixture.target.writes.lock();
        assert!(
            writes.iter().any(|(from, to)| to > from),
            "{mode}: {writes:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_status_that_found_the_queue_full_is_reported_once_there_is_room() {
    let mut fixture = Fixture::start();
    fixture.apply("a", 1, &json!({}));
    fixture.observe("a", 1, &["pod-0"]);
    let other = || {
        Report::Event(EventReport {
            scaler: key("b"),
            uid: String::new(),
            warning: false,
            reason: "Test",
            action: "Test".to_owned(),
            note: String::new(),
        })
    };
    while fixture.control_loop.scalers.reporter.report(other()) {}
    assert!(fixture.push("pod-0", 0).is_accepted());
    fixture.advance(Duration::from_secs(1)).await;
    assert_eq!(fixture.last_status("a")["pods"]["fresh"], 0);
    fixture.advance(Duration::from_secs(1)).await;
    assert!(fixture.push("pod-0", 0).is_accepted());
    fixture.advance(Duration::from_secs(1)).await;
    assert_eq!(fixture.last_status("a")["pods"]["fresh"], 1);
}

#[tokio::test(start_paused = true)]
async fn pods_of_two_targets_are_ambiguous() {
    let mut fixture = Fixture::start();
    let other = json!({
        "scaleTargetRef": { "apiVersion": "apps/v1", "kind": "Deployment", "name": "other" },
    });
    fixture.apply("a", 1, &json!({}));
    fixture.apply("b", 1, &other);
    fixture.observe("a", 1, &["pod-0"]);
    assert_eq!(fixture.scaler("a").shared_pods(), 0);
    fixture.observe("b", 1, &["pod-0"]);
    assert_eq!(fixture.scaler("a").shared_pods(), 1);
    assert_eq!(fixture.scaler("b").shared_pods(), 1);
    fixture.observe("b", 1, &[]);
    assert_eq!(fixture.scaler("a").shared_pods(), 0);
}

#[tokio::test(start_paused = true)]
async fn only_the_first_reading_of_a_terminating_pod_may_follow_at_once() {
    let mut fixture = Fixture::start();
    fixture.apply("a", 1, &json!({}));
    fixture.observe("a", 1, &["pod-0"]);
    assert!(fixture.push("pod-0", 0).is_accepted());
    assert_eq!(fixture.push("pod-0", 0), Verdict::RateLimited);
    let mut last = || fixture.push_last("pod-0", ModelReading::default(), true);
    assert!(last().is_accepted());
    assert_eq!(last(), Verdict::RateLimited);
}

#[tokio::test(start_paused = true)]
async fn conflicts_follow_targets_modes_and_hpas() {
    let mut fixture = Fixture::start();
    fixture.apply("a", 1, &json!({}));
    assert_eq!(fixture.conflict("a"), None);
    fixture.apply("b", 1, &json!({}));
    assert_eq!(fixture.conflict("a"), Some("PushScaler models/b"));
    assert_eq!(fixture.conflict("b"), Some("PushScaler models/a"));
    fixture.apply("b", 2, &json!({ "mode": "Recommend" }));
    assert_eq!(fixture.conflict("a"), None);
    assert_eq!(fixture.conflict("b"), None);
    let hpa = |target| {
        Event::HpaApplied(Arc::new(CompetingHpa {
            key: key("h"),
            target,
        }))
    };
    fixture.handle(hpa(target("torchserve")));
    assert_eq!(
        fixture.conflict("a"),
        Some("HorizontalPodAutoscaler models/h")
    );
    fixture.handle(hpa(target("another")));
    assert_eq!(fixture.conflict("a"), None);
}

#[tokio::test(start_paused = true)]
async fn conflicts_are_not_detected_again_while_the_target_of_an_hpa_is_unchanged() {
    let mut fixture = Fixture::start();
    fixture.apply("a", 1, &json!({}));
    let hpa = |target| {
        Event::HpaApplied(Arc::new(CompetingHpa {
            key: key("h"),
            target,
        }))
    };
    fixture.handle(hpa(target("another")));
    // Detecting conflicts would remove this one.
    fixture
        .control_loop
        .scalers
        .with(&key("a"), |scaler, context| {
            scaler.object.set_conflict(context, Some("none".to_owned()));
        });
    for _ in 0..1000 {
        fixture.handle(hpa(target("another")));
    }
    assert_eq!(fixture.conflict("a"), Some("none"));
    fixture.handle(hpa(target("a-third-one")));
    assert_eq!(fixture.conflict("a"), None);
}

#[tokio::test(start_paused = true)]
async fn the_loop_sleeps_until_everything_is_listed() {
    let mut fixture = Fixture::unlisted();
    fixture.apply("a", 1, &json!({}));
    assert!(fixture.control_loop.next_due() >= Instant::now() + MAX_IDLE);
    fixture.handle(Event::ScalersListed(BTreeSet::from([key("a")])));
    assert!(fixture.control_loop.next_due() >= Instant::now() + MAX_IDLE);
}

#[tokio::test(start_paused = true)]
async fn our_write_whose_response_was_lost_is_not_a_foreign_change() {
    let mut fixture = Fixture::start();
    fixture.apply("a", 1, &json!({}));
    let mut replicas = 1;
    // Three foreign changes soon after our write would stop all writes.
    for _ in 0..5 {
        let pods: Vec<_> = (0..replicas).map(|pod| format!("pod-{pod}")).collect();
        let pods: Vec<_> = pods.iter().map(String::as_str).collect();
        fixture.observe("a", replicas, &pods);
        let writes = fixture.target.writes.lock().len();
        while fixture.target.writes.lock().len() == writes {
            for pod in &pods {
                assert!(fixture.push(pod, 50).is_accepted());
            }
            fixture.advance(Duration::from_secs(1)).await;
            let status = fixture.last_status("a").to_string();
            assert!(!status.contains("SizeContested"), "{status}");
        }
        (_, replicas) = *fixture.target.writes.lock().last().unwrap();
        *fixture.target.behavior.lock() = Behavior::StoresAndFails;
    }
}

#[tokio::test(start_paused = true)]
async fn a_write_that_ends_after_a_change_of_target_is_ignored() {
    let mut fixture = Fixture::start();
    fixture.apply("a", 1, &json!({}));
    fixture.observe("a", 1, &["pod-0"]);
    fixture.push("pod-0", 50);
    fixture.handle(Event::WriteFinished {
        watch: WatchId {
            scaler: key("a"),
            number: 0,
        },
        target: fixture.scaler("a").id.target.clone(),
        from: 1,
        to: 9,
        marked: Vec::new(),
        newest_reading: None,
        marks_forbidden: None,
        outcome: Ok(Written::Done(scale(9))),
    });
    let scaler = fixture.scaler("a");
    assert_eq!(scaler.scale(), Some(&Ok(scale(1))));
    assert!(!scaler.has_written());
}

/// The replicas that a follower sees while it follows, and the last write of the leader, which it has not seen.
async fn follow(fixture: &mut Fixture) {
    fixture.handle(Event::ScalersListed(BTreeSet::from([key("a")])));
    fixture.handle(Event::HpasListed(BTreeSet::new()));
    fixture.apply("a", 1, &json!({}));
    for replicas in [1, 2, 4, 8] {
        let pods: Vec<_> = (0..replicas).map(|pod| format!("pod-{pod}")).collect();
        let pods: Vec<_> = pods.iter().map(String::as_str).collect();
        fixture.observe("a", replicas, &pods);
        for pod in &pods {
            assert!(fixture.push(pod, 50).is_accepted());
        }
        fixture.advance(Duration::from_secs(1)).await;
    }
    *fixture.target.replicas.lock() = 16;
}

#[tokio::test(start_paused = true)]
async fn a_follower_learns_and_writes_nothing() {
    let mut fixture = Fixture::with(Leadership::following());
    follow(&mut fixture).await;
    assert_eq!(*fixture.target.writes.lock(), []);
    assert!(fixture.reports.try_recv().is_err());
    let scaler = fixture.scaler("a");
    let decision = scaler.last_decision();
    assert_eq!(decision.freshness.fresh, 8);
}

#[tokio::test(start_paused = true)]
async fn a_new_leader_reads_the_scale_and_knows_its_predecessors_writes() {
    let leadership = Leadership::following();
    let mut fixture = Fixture::with(leadership.clone());
    follow(&mut fixture).await;
    leadership.lead_until(Instant::now() + Duration::from_secs(3600));
    fixture.handle(Event::Promoted);
    assert_eq!(*fixture.target.writes.lock(), []);
    fixture.advance(Duration::from_secs(1)).await;
    for pod in 0..8 {
        fixture.push(&format!("pod-{pod}"), 50);
    }
    fixture.advance(Duration::from_secs(1)).await;
    let writes = fixture.target.writes.lock().clone();
    assert!(
        writes.iter().all(|(from, to)| *from == 16 && to > from),
        "{writes:?}"
    );
    let status = fixture.last_status("a");
    assert!(status["currentReplicas"].as_u64() >= Some(16), "{status}");
    assert!(!status.to_string().contains("SizeContested"), "{status}");
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_is_elected_again_reads_the_scale_again() {
    let leadership = Leadership::following();
    leadership.lead_until(Instant::now() + Duration::from_secs(3600));
    let mut fixture = Fixture::with(leadership.clone());
    follow(&mut fixture).await;
    let before = Instant::now();
    fixture.advance(Duration::from_secs(1)).await;
    assert!(!fixture.scaler("a").is_taking_over());
    // No turn notices that it did not lead for a moment.
    leadership.follow();
    leadership.lead_until(Instant::now() + Duration::from_secs(3600));
    fixture.handle(Event::Promoted);
    assert!(fixture.scaler("a").is_taking_over());
    // A read that began before may have missed the other leader's last write.
    fixture.handle(Event::TargetRead {
        watch: watch("a"),
        start: before,
        written_by_us: false,
        scale: Ok(scale(8)),
    });
    assert!(fixture.scaler("a").is_taking_over());
    fixture.advance(Duration::from_secs(1)).await;
    assert!(!fixture.scaler("a").is_taking_over());
    let read = fixture.scaler("a").scale().unwrap().clone().unwrap();
    assert!(read.replicas >= 16, "{read:?}");
}

/// Shows changes to a follower, each with whether the leader made it, promotes it, and returns its status.
async fn status_after_changes(changes: &[(u32, bool)]) -> String {
    let leadership = Leadership::following();
    let mut fixture = Fixture::with(leadership.clone());
    follow(&mut fixture).await;
    for (replicas, by_leader) in changes {
        fixture.read_by("a", *replicas, *by_leader);
        fixture.written_by_us = *by_leader;
        fixture.advance(Duration::from_secs(1)).await;
    }
    *fixture.target.replicas.lock() = changes.last().unwrap().0;
    leadership.lead_until(Instant::now() + Duration::from_secs(3600));
    fixture.handle(Event::Promoted);
    fixture.advance(Duration::from_secs(2)).await;
    fixture.last_status("a").to_string()
}

#[tokio::test(start_paused = true)]
async fn a_new_leader_distinguishes_its_predecessors_changes_from_other_clients() {
    let by_leader = [(12, true), (8, true), (9, true), (8, true)];
    // The replicas and their owner come from two requests. A turn may be between them.
    let late = [
        (12, true),
        (8, false),
        (8, true),
        (9, false),
        (9, true),
        (8, false),
        (8, true),
    ];
    for changes in [&by_leader[..], &late] {
        let status = status_after_changes(changes).await;
        assert!(status.contains("AbleToScale"), "{status}");
        assert!(!status.contains("SizeContested"), "{status}");
    }
    let by_others = [(12, true), (8, false), (9, false), (8, false)];
    let status = status_after_changes(&by_others).await;
    assert!(status.contains("SizeContested"), "{status}");
}

#[tokio::test(start_paused = true)]
async fn a_leader_whose_term_ends_stops_writing() {
    let leadership = Leadership::following();
    leadership.lead_until(Instant::now() + Duration::from_secs(1));
    let mut fixture = Fixture::with(leadership);
    fixture.advance(Duration::from_secs(1)).await;
    follow(&mut fixture).await;
    assert_eq!(*fixture.target.writes.lock(), []);
}

#[tokio::test(start_paused = true)]
async fn an_aggregator_is_ready_when_the_pods_have_reported() {
    let mut fixture = Fixture::unlisted();
    fixture.handle(Event::ScalersListed(BTreeSet::new()));
    fixture.apply("a", 1, &json!({}));
    fixture.observe("a", 2, &["pod-0", "pod-1"]);
    fixture.handle(Event::HpasListed(BTreeSet::new()));
    fixture.advance(Duration::from_secs(1)).await;
    fixture.push("pod-0", 0);
    fixture.advance(Duration::from_secs(1)).await;
    assert!(!fixture.readiness.is_ready());
    fixture.push("pod-0", 0);
    fixture.push("pod-1", 0);
    fixture.advance(Duration::from_secs(1)).await;
    assert!(fixture.readiness.is_ready());
}

#[tokio::test(start_paused = true)]
async fn pods_that_never_report_do_not_delay_readiness_for_good() {
    let mut fixture = Fixture::start();
    fixture.apply("a", 1, &json!({}));
    fixture.observe("a", 1, &["pod-0"]);
    assert!(
        fixture.readiness.is_ready(),
        "without scalers it is ready at once"
    );
    let mut fixture = Fixture::unlisted();
    fixture.apply("a", 1, &json!({}));
    fixture.observe("a", 1, &["pod-0"]);
    fixture.handle(Event::ScalersListed(BTreeSet::from([key("a")])));
    fixture.handle(Event::HpasListed(BTreeSet::new()));
    fixture.advance(Duration::from_secs(19)).await;
    assert!(!fixture.readiness.is_ready());
    fixture.advance(Duration::from_secs(2)).await;
    assert!(fixture.readiness.is_ready());
}

#[tokio::test(start_paused = true)]
async fn a_failed_read_does_not_make_a_foreign_change_of_the_leaders() {
    let leadership = Leadership::following();
    let mut fixture = Fixture::with(leadership.clone());
    follow(&mut fixture).await;
    for replicas in [9, 10, 11, 12] {
        fixture.handle(Event::TargetRead {
            watch: watch("a"),
            start: Instant::now(),
            written_by_us: true,
            scale: Err(ScaleError::Other {
                target: "Deployment/torchserve".to_owned(),
                message: "etcdserver: leader changed".to_owned(),
            }),
        });
        fixture.handle(Event::TargetRead {
            watch: watch("a"),
            start: Instant::now(),
            written_by_us: true,
            scale: Ok(scale(replicas)),
        });
        fixture.advance(Duration::from_secs(1)).await;
    }
    leadership.lead_until(Instant::now() + Duration::from_secs(3600));
    fixture.handle(Event::Promoted);
    fixture.advance(Duration::from_secs(2)).await;
    let status = fixture.last_status("a").to_string();
    assert!(
        !status.is_empty() && !status.contains("SizeContested"),
        "{status}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_scaler_has_series_until_it_is_deleted() {
    let mut fixture = Fixture::start();
    let mut registry = Registry::default();
    let metrics = fixture.control_loop.scalers.reporter.metrics.clone();
    fixture.control_loop.scalers.reporter.metrics = metrics.with_scaler_metrics(&mut registry);
    fixture
        .control_loop
        .scalers
        .reporter
        .metrics
        .set_leader(true);
    let scrape = || {
        let mut page = String::new();
        prometheus_client::encoding::text::encode(&mut page, &registry).unwrap();
        page
    };
    let labels = "namespace=\"models\",pushscaler=\"a\"";
    let line = |metric: &str, value: &str| {
        format!("\npushscale_aggregator_{metric}{{{labels}}} {value}\n")
    };
    fixture.apply("a", 1, &json!({}));
    fixture.observe("a", 2, &["pod-0", "pod-1"]);
    let page = scrape();
    assert!(page.contains(&line("pods_reporting", "0")), "{page}");
    assert!(page.contains(&line("pods_running", "2")), "{page}");
    assert!(!page.contains("latency_seconds{"), "{page}");
    for pod in ["pod-0", "pod-1"] {
        assert!(fixture.push(pod, 3).is_accepted());
    }
    fixture.advance(Duration::from_secs(1)).await;
    let page = scrape();
    assert!(page.contains(&line("pods_reporting", "2")), "{page}");
    assert!(page.contains(&line("latency_seconds", "3.0")), "{page}");
    assert!(page.contains(&line("current_replicas", "4")), "{page}");
    let able = format!("condition_status{{{labels},condition=\"AbleToScale\"}} 1");
    assert!(page.contains(&able), "{page}");

    fixture.apply("a", 2, &invalid_schedule());
    fixture.advance(Duration::from_secs(1)).await;
    let page = scrape();
    let active = format!("condition_status{{{labels},condition=\"ScalingActive\"}} 0");
    assert!(page.contains(&active), "{page}");
    assert!(!page.contains("pods_running{"), "{page}");

    fixture.handle(Event::ScalerDeleted(key("a")));
    assert!(!scrape().contains("pushscaler"), "{}", scrape());
}

#[tokio::test(start_paused = true)]
async fn each_decision_is_recorded_for_the_external_metrics() {
    let mut fixture = Fixture::unlisted();
    assert!(!fixture.external_metrics.is_listed());
    fixture.handle(Event::ScalersListed(BTreeSet::new()));
    fixture.handle(Event::HpasListed(BTreeSet::new()));
    assert!(fixture.external_metrics.is_listed());
    fixture.apply("a", 1, &json!({ "mode": "Recommend" }));
    fixture.observe("a", 2, &["p", "q"]);
    let scaler = fixture.external_metrics.get(NAMESPACE, "a").unwrap();
    assert_eq!(scaler.labels["team"], "a");
    let sample = fixture.external_sample("a");
    assert!(sample.desired.unwrap_err().contains("not enough data"));
    fixture.push("p", 3);
    fixture.push("q", 5);
    fixture.advance(Duration::from_secs(1)).await;
    let sample = fixture.external_sample("a");
    // The rate limit allows four replicas at once.
    assert_eq!(sample.desired, Ok(4));
    assert_eq!((sample.load.reporting, sample.load.running), (2, 2));
    assert_eq!(sample.load.total_wait, Duration::from_secs(8));
    assert_eq!(sample.load.waiting, Some(8));
    // The readings become stale.
    fixture.advance(Duration::from_secs(30)).await;
    let sample = fixture.external_sample("a");
    assert_eq!((sample.load.reporting, sample.load.running), (0, 2));
    assert!(sample.desired.is_err());
    let fallback = json!({ "replicas": 6, "afterSeconds": 60 });
    let spec = json!({ "mode": "Recommend", "fallback": fallback });
    fixture.apply("a", 2, &spec);
    fixture.advance(Duration::from_secs(60)).await;
    assert_eq!(fixture.external_sample("a").desired, Ok(6));
    fixture.handle(Event::ScalerDeleted(key("a")));
    assert!(fixture.external_metrics.get(NAMESPACE, "a").is_none());
}

#[tokio::test(start_paused = true)]
async fn a_target_without_running_pods_needs_its_minimum() {
    let mut fixture = Fixture::start();
    let spec = |mode: &str| json!({ "mode": mode, "minReplicas": 2 });
    fixture.apply("a", 1, &spec("Recommend"));
    fixture.observe("a", 0, &[]);
    let sample = fixture.external_sample("a");
    assert_eq!((sample.desired, sample.at_zero), (Ok(2), true));
    // A schedule raises the minimum.
    let mut scheduled = spec("Recommend");
    scheduled["schedules"] = json!([{
        "name": "always", "cron": "* * * * *", "duration": "2m", "timezone": "UTC", "minReplicas": 3,
    }]);
    fixture.apply("a", 2, &scheduled);
    fixture.advance(Duration::from_secs(1)).await;
    assert_eq!(fixture.external_sample("a").desired, Ok(3));
    fixture.apply("a", 3, &spec("Off"));
    fixture.advance(Duration::from_secs(1)).await;
    assert!(fixture.external_sample("a").desired.is_err());
    // The size is kept while the first pods start, and unknown once a pod runs and does not report.
    fixture.apply("a", 4, &spec("Recommend"));
    fixture.read("a", 4);
    fixture.advance(Duration::from_secs(1)).await;
    let sample = fixture.external_sample("a");
    assert_eq!((sample.desired, sample.at_zero), (Ok(4), false));
    fixture.observe("a", 4, &["p"]);
    fixture.advance(Duration::from_secs(1)).await;
    assert!(fixture.external_sample("a").desired.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_target_that_was_started_while_its_spec_is_invalid_is_not_at_zero() {
    let mut fixture = Fixture::start();
    fixture.apply("a", 1, &json!({ "mode": "Recommend" }));
    fixture.observe("a", 0, &[]);
    fixture.apply("a", 2, &invalid_schedule());
    fixture.advance(Duration::from_secs(1)).await;
    let sample = fixture.external_sample("a");
    assert!(sample.desired.is_err() && sample.at_zero, "{sample:?}");
    fixture.read("a", 3);
    fixture.advance(Duration::from_secs(1)).await;
    let sample = fixture.external_sample("a");
    assert!(sample.desired.is_err() && !sample.at_zero, "{sample:?}");
}

#[tokio::test(start_paused = true)]
async fn a_scaler_that_was_never_valid_has_an_empty_sample_that_stays_fresh() {
    let mut fixture = Fixture::start();
    fixture.apply("a", 1, &invalid_schedule());
    fixture.observe("a", 2, &["p", "q"]);
    fixture.advance(Duration::from_secs(60)).await;
    let sample = fixture.external_sample("a");
    assert!(sample.desired.unwrap_err().contains("its spec is invalid"));
    assert_eq!(sample.load, FleetLoad::default());
    assert!(sample.decided.elapsed() <= SYNC_PERIOD);
}

#[tokio::test(start_paused = true)]
async fn pods_that_cannot_be_listed_are_not_reported_as_an_invalid_selector() {
    let mut fixture = Fixture::unlisted();
    fixture.handle(Event::ScalersListed(BTreeSet::new()));
    fixture.apply("a", 1, &json!({}));
    fixture.read("a", 1);
    fixture.handle(Event::PodsUnknown {
        watch: watch("a"),
        why: Selector::Unlisted {
            message: "etcdserver: leader changed".to_owned(),
        },
    });
    fixture.handle(Event::HpasListed(BTreeSet::new()));
    let status = fixture.last_status("a");
    let mut conditions = status["conditions"].as_array().unwrap().iter();
    let active = conditions.find(|condition| condition["type"] == "ScalingActive");
    let active = active.unwrap();
    assert_eq!(active["status"], "False");
    assert_eq!(active["reason"], "FailedGetPodsMetric");
    let message = "the target's pods cannot be listed: etcdserver: leader changed";
    assert_eq!(active["message"], message);
    // It is not ready either: it has not seen a pod.
    assert!(!fixture.readiness.is_ready());
    fixture.observe_pods("a", &[]);
    assert!(fixture.readiness.is_ready());
}
