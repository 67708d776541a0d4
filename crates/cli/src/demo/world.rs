//! What the aggregator takes for its cluster.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use pushscale_aggregator::{
    Backend, Event, MarkResult, PodRef, PushSecurity, Report, Scale, ScaleError, ScaleTarget,
    ScalerFacts, ScalerKey, TargetRef, WatchId, Written,
};
use pushscale_api::Schedules;
use pushscale_decision::{Algorithm, Behavior, Bounds, Conditions, Latency, Policy, TargetLatency};
use tokio::sync::{mpsc, watch};

/// The namespace that the demo's pods say they are in.
pub(crate) const NAMESPACE: &str = "demo";

/// How long the size outlives the load that asked for it; five minutes would be too long to watch.
const DOWN_WINDOW: Duration = Duration::from_secs(15);

/// The demo's scale target and what was written to it.
pub(crate) struct DemoWorld {
    target: Arc<Processes>,
    event_sender: mpsc::Sender<mpsc::Sender<Event>>,
    reports: mpsc::Sender<Report>,
}

/// What the aggregator tells the demo.
pub(crate) struct Facts {
    started: mpsc::Receiver<mpsc::Sender<Event>>,
    reports: mpsc::Receiver<Report>,
}

/// A size that was written, and when.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Write {
    pub(crate) at: Instant,
    pub(crate) from: u32,
    pub(crate) to: u32,
}

/// How many servers are wanted, and which go first if that is fewer than before.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    pub(crate) servers: u32,
    pub(crate) first: Vec<String>,
}

/// Writing a size tells the fleet how many servers are wanted.
struct Processes {
    wanted: watch::Sender<Wanted>,
    first: Mutex<Vec<String>>,
    writes: Mutex<Vec<Write>>,
}

impl ScaleTarget for Processes {
    fn write<'a>(
        &'a self,
        _: &'a TargetRef,
        from: u32,
        to: u32,
    ) -> BoxFuture<'a, Result<Written, ScaleError>> {
        let at = Instant::now();
        let mut writes = self.writes.lock().unwrap_or_else(PoisonError::into_inner);
        writes.push(Write { at, from, to });
        let mut first = self.first.lock().unwrap_or_else(PoisonError::into_inner);
        self.wanted.send_replace(Wanted {
            servers: to,
            first: std::mem::take(&mut first),
        });
        Box::pin(std::future::ready(Ok(Written::Done(scale(to)))))
    }

    fn mark_for_deletion<'a>(
        &'a self,
        _: &'a TargetRef,
        pods: &'a [PodRef],
    ) -> BoxFuture<'a, MarkResult> {
        let mut first = self.first.lock().unwrap_or_else(PoisonError::into_inner);
        *first = pods.iter().map(|pod| pod.name.clone()).collect();
        let marked = MarkResult {
            updated: pods.len(),
            ..MarkResult::default()
        };
        Box::pin(std::future::ready(marked))
    }
}

impl DemoWorld {
    pub(crate) fn new() -> (Self, Facts) {
        let (wanted, _) = watch::channel(Wanted {
            servers: 1,
            first: Vec::new(),
        });
        let (event_sender, started) = mpsc::channel(1);
        let (reports, told) = mpsc::channel(64);
        let world = Self {
            target: Arc::new(Processes {
                wanted,
                first: Mutex::default(),
                writes: Mutex::default(),
            }),
            event_sender,
            reports,
        };
        let facts = Facts {
            started,
            reports: told,
        };
        (world, facts)
    }

    pub(crate) fn backend(&self) -> Backend {
        Backend {
            scale_target: Arc::clone(&self.target) as Arc<dyn ScaleTarget>,
            event_sender: self.event_sender.clone(),
            reports: self.reports.clone(),
            push_security: PushSecurity::default(),
        }
    }

    /// How many servers are wanted.
    pub(crate) fn wanted(&self) -> watch::Receiver<Wanted> {
        self.target.wanted.subscribe()
    }

    /// All sizes that were written.
    pub(crate) fn writes(&self) -> Vec<Write> {
        let writes = self.target.writes.lock();
        writes.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Facts {
    /// The way to the control loop, once it runs.
    pub(crate) async fn events(&mut self) -> Option<mpsc::Sender<Event>> {
        self.started.recv().await
    }

    /// The next thing that the loop tells, if there is one already.
    pub(crate) fn next_report(&mut self) -> Option<Report> {
        self.reports.try_recv().ok()
    }
}

/// Tells the loop of the one scaler that there is.
pub(crate) async fn introduce(events: &mpsc::Sender<Event>, max: u32, target_ms: u32) {
    let Some(policy) = policy(max, target_ms) else {
        return;
    };
    let key = watch_id().scaler;
    let facts = ScalerFacts {
        key: key.clone(),
        uid: String::new(),
        generation: Some(1),
        target: TargetRef {
            namespace: NAMESPACE.to_owned(),
            api_version: String::new(),
            kind: "Processes".to_owned(),
            name: "torchserve".to_owned(),
        },
        watch: watch_id(),
        policy: Ok(policy),
        spec: None,
        schedules: Schedules::default(),
        conditions: Conditions::default(),
        last_scale_time: None,
        transitions: Vec::new(),
    };
    for event in [
        Event::ScalerApplied(Box::new(facts)),
        Event::ScalersListed(BTreeSet::from([key])),
        Event::HpasListed(BTreeSet::new()),
        Event::TargetRead {
            watch: watch_id(),
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

/// The one watch that there is.
pub(crate) fn watch_id() -> WatchId {
    WatchId {
        scaler: ScalerKey {
            namespace: NAMESPACE.to_owned(),
            name: "torchserve".to_owned(),
        },
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
        selector: "app=torchserve".to_owned(),
        version: 0,
    }
}
