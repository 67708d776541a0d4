//! Pods that push to all aggregators in the background, as sidecars do.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio::time::{interval, timeout};

use crate::fake_pod::{FakePod, Load};

/// Time between two pushes of a pod.
const INTERVAL: Duration = Duration::from_millis(500);

/// How long a pod waits for a response. A sidecar waits as long.
const TIMEOUT: Duration = Duration::from_secs(2);

/// The pods, their load and where they push to.
#[derive(Debug)]
struct Pods {
    pods: Vec<FakePod>,
    /// Queue latency of each pod, in seconds.
    latency: f64,
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
            aggregators: Vec::new(),
        }));
        let mut task = JoinSet::new();
        task.spawn(run(Arc::clone(&pods)));
        Self { pods, _task: task }
    }

    pub(super) async fn set_latency(&self, latency: f64) {
        self.pods.lock().await.latency = latency;
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

    pub(super) async fn set_aggregators(&self, aggregators: Vec<SocketAddr>) {
        self.pods.lock().await.aggregators = aggregators;
    }
}

async fn run(pods: Arc<Mutex<Pods>>) {
    let mut ticks = interval(INTERVAL);
    let mut requests = JoinSet::new();
    loop {
        ticks.tick().await;
        while requests.try_join_next().is_some() {}
        let mut state = pods.lock().await;
        let Pods {
            pods,
            latency,
            aggregators,
        } = &mut *state;
        for pod in pods {
            let body = pod.next_body(Load::QueueLatency(*latency));
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
