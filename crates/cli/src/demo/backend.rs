//! The backend that the demo gives the aggregator in place of a cluster.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use pushscale_aggregator::{
    Backend, Event, MarkResult, PodRef, PushSecurity, Report, Scale, ScaleError, ScaleTarget,
    ScalerFacts, ScalerKey, TargetRef, WatchId, Written,
};
use pushscale_decision::{Algorithm, Behavior, Bounds, Latency, Policy, TargetLatency};
use tokio::sync::{mpsc, watch};

/// The namespace of the demo's pods.
pub(crate) const NAMESPACE: &str = "demo";

/// The stabilization window for scaling down; the default of five minutes would be too long to watch.
const DOWN_WINDOW: Duration = Duration::from_secs(15);

/// The demo's scale target and its channels.
pub(crate) struct DemoBackend {
    target: Arc<Processes>,
    event_sender: mpsc::Sender<mpsc::Sender<Event>>,
    reports: mpsc::Sender<Report>,
}

/// What the demo receives from the aggregator.
pub(crate) struct AggregatorOutput {
    started: mpsc::Receiver<mpsc::Sender<Event>>,
    reports: mpsc::Receiver<Report>,
}

/// A replica count that was written, and when.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Write {
    pub(crate) at: Instant,
    pub(crate) from: u32,
    pub(crate) to: u32,
}

/// The desired servers: how many, and which stop first if there are more.
#[derive(Clone, Debug)]
pub(crate) struct Desired {
    pub(crate) servers: u32,
    pub(crate) stop_first: Vec<String>,
}

/// The scale target: a write changes the number of desired servers.
struct Processes {
    desired: watch::Sender<Desired>,
    stop_first: Mutex<Vec<String>>,
    writes: Mutex<Vec<Write>>,
}

impl ScaleTarget for Processes {
    fn read<'a>(&'a self, _: &'a TargetRef) -> BoxFuture<'a, Result<Scale, ScaleError>> {
        let servers = self.desired.borrow().servers;
        Box::pin(std::future::ready(Ok(scale(servers))))
    }

    fn write<'a>(
        &'a self,
        _: &'a TargetRef,
        _: Option<&'a str>,
        from: u32,
        to: u32,
    ) -> BoxFuture<'a, Result<Written, ScaleError>> {
        let at = Instant::now();
        self.writes.lock().push(Write { at, from, to });
        self.desired.send_replace(Desired {
            servers: to,
            stop_first: std::mem::take(&mut self.stop_first.lock()),
        });
        Box::pin(std::future::ready(Ok(Written::Done(scale(to)))))
    }

    fn marks_pods(&self) -> bool {
        true
    }

    fn mark_for_deletion<'a>(
        &'a self,
        _: &'a TargetRef,
        pods: &'a [PodRef],
    ) -> BoxFuture<'a, MarkResult> {
        *self.stop_first.lock() = pods.iter().map(|pod| pod.name.clone()).collect();
        let marked = MarkResult {
            updated: pods.len(),
            ..MarkResult::default()
        };
        Box::pin(std::future::ready(marked))
    }
}

impl DemoBackend {
    pub(crate) fn new() -> (Self, AggregatorOutput) {
        let (desired, _) = watch::channel(Desired {
            servers: 1,
            stop_first: Vec::new(),
        });
        let (event_sender, started) = mpsc::channel(1);
        let (reports, received) = mpsc::channel(64);
        let backend = Self {
            target: Arc::new(Processes {
                desired,
                stop_first: Mutex::default(),
                writes: Mutex::default(),
            }),
            event_sender,
            reports,
        };
        let output = AggregatorOutput {
            started,
            reports: received,
        };
        (backend, output)
    }

    pub(crate) fn backend(&self) -> Backend {
        Backend {
            scale_target: Arc::clone(&self.target) as Arc<dyn ScaleTarget>,
            event_sender: self.event_sender.clone(),
            reports: self.reports.clone(),
            push_security: PushSecurity::default(),
        }
    }

    /// Returns the desired servers.
    pub(crate) fn desired(&self) -> watch::Receiver<Desired> {
        self.target.desired.subscribe()
    }

    /// Returns all writes of the replica count.
    pub(crate) fn writes(&self) -> Vec<Write> {
        self.target.writes.lock().clone()
    }
}

impl AggregatorOutput {
    /// Waits for the control loop and returns the channel of its events.
    pub(crate) async fn events(&mut self) -> Option<mpsc::Sender<Event>> {
        self.started.recv().await
    }

    /// Returns the next report of the control loop, if there is one.
    pub(crate) fn next_report(&mut self) -> Option<Report> {
        self.reports.try_recv().ok()
    }
}

/// Sends the demo's only PushScaler to the control loop.
pub(crate) async fn apply_scaler(events: &mpsc::Sender<Event>, max: u32, target_ms: u32) {
    let Some(policy) = policy(max, target_ms) else {
        return;
    };
    let target = TargetRef {
        namespace: NAMESPACE.to_owned(),
        api_version: String::new(),
        kind: "Processes".to_owned(),
        name: "torchserve".to_owned(),
    };
    let facts = ScalerFacts::new(watch_id(), target, policy);
    for event in [
        Event::ScalerApplied(Arc::new(facts)),
        Event::ScalersListed(BTreeSet::from([watch_id().scaler])),
        Event::HpasListed(BTreeSet::new()),
        Event::TargetRead {
            watch: watch_id(),
            start: tokio::time::Instant::now(),
            written_by_us: false,
            scale: Ok(scale(1)),
        },
        Event::PodsListed {
            watch: watch_id(),
            uids: BTreeSet::new(),
        },
    ] {
        if events.send(event).await.is_err() {
            return;
        }
    }
}

/// Returns the id of the demo's only watch.
pub(crate) fn watch_id() -> WatchId {
    WatchId {
        scaler: ScalerKey::new(NAMESPACE, "torchserve"),
        number: 1,
    }
}

fn policy(max: u32, target_ms: u32) -> Option<Policy> {
    let target = TargetLatency::new(Latency::from_nanos(i64::from(target_ms) * 1_000_000))?;
    let mut behavior = Behavior::default();
    behavior.scale_down.stabilization_window = Some(DOWN_WINDOW);
    let mut policy = Policy::new(Bounds::new(1, max)?, target);
    policy.behavior = Some(behavior);
    policy.algorithm = Algorithm::Model;
    Some(policy)
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
