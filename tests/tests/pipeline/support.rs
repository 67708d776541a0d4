//! Helpers of several of these tests.

use std::net::SocketAddr;
use std::time::Duration;

use pushscale_api::{Algorithm, PushScalerSpec, policy_of};
use pushscale_decision::Policy;
use pushscale_testkit::emulated::{EmulatedServer, ModelOptions, ServerOptions};
use pushscale_testkit::load::{LoadOptions, RunningLoad, Step};
use pushscale_tests::fake_cluster::FakeCluster;
use pushscale_tests::http;
use serde_json::json;
use tokio::time::timeout;

/// The limit for anything that takes a second on an idle machine. Only a hang takes longer.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(120);

/// A spec with 1 to 5 replicas, a target of 1 s, and a scale-down after two seconds.
pub(crate) fn spec(algorithm: Algorithm) -> PushScalerSpec {
    serde_json::from_value(json!({
        "scaleTargetRef": { "apiVersion": "apps/v1", "kind": "Deployment", "name": "torchserve" },
        "minReplicas": 1,
        "maxReplicas": 5,
        "algorithm": algorithm,
        "metrics": [{ "type": "QueueLatency", "queueLatency": { "target": "1s" } }],
        "behavior": { "scaleDown": { "stabilizationWindowSeconds": 2 } },
    }))
    .unwrap()
}

/// The policy of the default algorithm, for tests that do not test decisions.
pub(crate) fn policy() -> Policy {
    policy_of(&spec(Algorithm::default())).unwrap()
}

/// Starts an emulated TorchServe with one worker and a service time of 100 ms: about 9.5 requests per second.
pub(crate) async fn server() -> EmulatedServer {
    let model = ModelOptions {
        service: Duration::from_millis(100),
        ..ModelOptions::default()
    };
    let options = ServerOptions {
        models: vec![model],
        ..ServerOptions::default()
    };
    let server = EmulatedServer::start(options).unwrap();
    timeout(TIMEOUT, server.ready()).await.unwrap();
    server
}

/// Starts a load with this arrival rate per second and this duration in seconds.
pub(crate) fn load(server: &EmulatedServer, rate: f64, seconds: f64) -> RunningLoad {
    let steps = vec![Step { rate, seconds }];
    RunningLoad::start(LoadOptions::to(server.addresses().inference, steps)).unwrap()
}

/// Returns the number of readings that the aggregator has accepted.
pub(crate) async fn accepted(cluster: &FakeCluster) -> u64 {
    let metrics = http::get(cluster.admin, "/metrics").await.body;
    http::sum(
        &metrics,
        "pushscale_aggregator_pushes_total{outcome=\"accepted\"}",
    )
}

/// Returns the number of scrapes of the sidecar at this address.
pub(crate) async fn scrapes(address: SocketAddr) -> u64 {
    let metrics = http::get(address, "/metrics").await.body;
    http::sum(&metrics, "pushscale_sidecar_scrapes_total")
}
