//! An aggregator with pods that push, for these tests.

use std::time::Duration;

use pushscale_api::{PushScalerSpec, policy_of};
use pushscale_decision::Policy;
use pushscale_tests::fake_cluster::{FakeCluster, NAMESPACE};
use pushscale_tests::fake_pod::{FakePod, Load};
use pushscale_tests::http::{self, Response};
use serde_json::json;

/// The limit for anything that takes a second on an idle machine. Only a hang takes longer.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(120);

/// The path of the page of the only PushScaler.
pub(crate) const SCALER_PAGE: &str = "/scalers/models/torchserve";

/// The queueing model, with 1 to 20 replicas and a target of 50 ms.
pub(crate) fn policy() -> Policy {
    let spec: PushScalerSpec = serde_json::from_value(json!({
        "scaleTargetRef": { "apiVersion": "apps/v1", "kind": "Deployment", "name": "torchserve" },
        "minReplicas": 1,
        "maxReplicas": 20,
        "metrics": [{ "type": "QueueLatency", "queueLatency": { "target": "50ms" } }],
    }))
    .unwrap();
    policy_of(&spec).unwrap()
}

/// An aggregator with one PushScaler of two pods.
pub(crate) struct Fleet {
    pub(crate) cluster: FakeCluster,
    pods: Vec<FakePod>,
}

impl Fleet {
    /// Starts it, and waits until the page shows a decision.
    pub(crate) async fn start() -> Self {
        let cluster = FakeCluster::start(policy(), 2).await;
        let mut pods = Vec::new();
        for name in ["a", "b"] {
            cluster.add_pod(name).await;
            pods.push(FakePod::new(NAMESPACE, name, &format!("{name}-uid")));
        }
        let mut fleet = Self { cluster, pods };
        fleet.push_until(2.0, "2 of 2 running pods report").await;
        fleet
    }

    /// Pushes a load of this many requests per second for each pod.
    pub(crate) async fn push(&mut self, rate: f64) {
        for pod in &mut self.pods {
            let answer = pod.push(self.cluster.push, Load::Rate(rate)).await;
            assert!(answer.status < 300, "{answer:?}");
        }
    }

    /// Pushes this load until the scaler's page has a text.
    pub(crate) async fn push_until(&mut self, rate: f64, text: &str) {
        let start = std::time::Instant::now();
        loop {
            self.push(rate).await;
            let page = self.get(SCALER_PAGE).await.body;
            if page.contains(text) {
                return;
            }
            assert!(start.elapsed() < TIMEOUT, "no {text:?} in {page}");
            // Between two pushes of a sidecar, requests must arrive.
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// Overloads the pods until the aggregator has scaled up.
    pub(crate) async fn scale_up(&mut self) {
        let start = std::time::Instant::now();
        loop {
            self.push(40.0).await;
            if self
                .cluster
                .writes
                .try_recv()
                .is_ok_and(|(from, to)| to > from)
            {
                return;
            }
            assert!(start.elapsed() < TIMEOUT, "no scale-up");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Response {
        http::get(self.cluster.admin, path).await
    }

    /// Returns the URL of a page.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.cluster.admin)
    }
}
