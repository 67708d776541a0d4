//! Pods that push to all aggregators in the background, as sidecars do.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use pushscale_protocol::{MAX_BODY_BYTES, MAX_MODELS};
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio::time::{interval, timeout};

use crate::fake_pod::{FakePod, Load};

/// Time between two pushes of a pod.
const INTERVAL: Duration = Duration::from_millis(500);

/// Length of a long name. With longer ones, a push would exceed the largest body.
const LONG: usize = 200;

/// How long a pod waits for a response. A sidecar waits as long.
const TIMEOUT: Duration = Duration::from_secs(2);

/// The models that pods report besides the one that is requested.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Models {
    /// None.
    One,
    /// As many as a push may have, with names as long as the largest body allows.
    Many,
    /// Twenty, whose names change with each push.
    Changing,
}

impl Models {
    fn names(self, turn: usize) -> Vec<String> {
        let count = match self {
            Self::One => 0,
            Self::Many => MAX_MODELS - 1,
            Self::Changing => 19,
        };
        let name = |number| match self {
            Self::Many => format!("{number:0>LONG$}"),
            _ => format!("model-{}", count * turn + number),
        };
        (0..count).map(name).collect()
    }
}

/// The pods, their load and where they push to.
#[derive(Debug)]
struct Pods {
    pods: Vec<FakePod>,
    /// Queue latency of each pod, in seconds.
    latency: f64,
    models: Models,
    aggregators: Vec<SocketAddr>,
}

/// Running pods, which stop when dropped.
#[derive(Debug)]
pub(super) struct Pushes {
    pods: Arc<Mutex<Pods>>,
    _task: JoinSet<()>,
}

impl Pushes {
    pub(super) fn start() -> Self {
        let pods = Arc::new(Mutex::new(Pods {
            pods: Vec::new(),
            latency: 1.0,
            models: Models::One,
            aggregators: Vec::new(),
        }));
        let mut task = JoinSet::new();
        task.spawn(run(Arc::clone(&pods)));
        Self { pods, _task: task }
    }

    pub(super) async fn set_latency(&self, latency: f64) {
        self.pods.lock().await.latency = latency;
    }

    pub(super) async fn set_models(&self, models: Models) {
        self.pods.lock().await.models = models;
    }

    /// Replaces the pods. A pod that existed before continues its sequence.
    pub(super) async fn set_pods(&self, pods: Vec<FakePod>) {
        let mut state = self.pods.lock().await;
        let mut former = std::mem::take(&mut state.pods);
        state.pods = pods
            .into_iter()
            .map(|pod| {
                let known = former.iter().position(|former| former.uid == pod.uid);
                known.map_or(pod, |index| former.swap_remove(index))
            })
            .collect();
    }

    /// Returns the uid of a pod.
    pub(super) async fn pod_uid(&self) -> String {
        self.pods.lock().await.pods[0].uid.clone()
    }

    pub(super) async fn set_aggregators(&self, aggregators: Vec<SocketAddr>) {
        self.pods.lock().await.aggregators = aggregators;
    }
}

async fn run(pods: Arc<Mutex<Pods>>) {
    let mut ticks = interval(INTERVAL);
    let mut requests = JoinSet::new();
    for turn in 0.. {
        ticks.tick().await;
        while requests.try_join_next().is_some() {}
        let mut state = pods.lock().await;
        let Pods {
            pods,
            latency,
            models,
            aggregators,
        } = &mut *state;
        for pod in pods {
            pod.idle_models = models.names(turn);
            let body = pod.next_body(Load::QueueLatency(*latency));
            assert!(body.len() <= MAX_BODY_BYTES, "{} bytes", body.len());
            for aggregator in aggregators.iter().copied() {
                let (pod, body) = (pod.clone(), body.clone());
                requests.spawn(async move {
                    timeout(TIMEOUT, pod.push_body(aggregator, &body))
                        .await
                        .ok();
                });
            }
        }
    }
}
