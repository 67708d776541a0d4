//! What several of these tests need.

use std::time::Duration;

use pushscale_api::{Algorithm, PushScalerSpec, policy_of};
use pushscale_decision::Policy;
use pushscale_testkit::ServiceTime;
use pushscale_testkit::emulated::{EmulatedServer, ModelOptions, ServerOptions};
use pushscale_testkit::load::{LoadOptions, RunningLoad, Step};
use serde_json::json;
use tokio::time::timeout;

/// How long anything may take that should take a second.
pub(crate) const SOON: Duration = Duration::from_secs(60);

/// 1 to 5 replicas at a second, and down after two seconds without need.
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

/// The same by the default, for tests that are not about decisions.
pub(crate) fn policy() -> Policy {
    policy_of(&spec(Algorithm::default())).unwrap()
}

/// An emulated TorchServe with one worker of 100 ms a request, about 9.5 a second.
pub(crate) async fn server() -> EmulatedServer {
    let model = ModelOptions {
        service: ServiceTime::Fixed(Duration::from_millis(100)),
        ..ModelOptions::default()
    };
    let options = ServerOptions {
        models: vec![model],
        ..ServerOptions::default()
    };
    let server = EmulatedServer::start(options).unwrap();
    timeout(SOON, server.ready()).await.unwrap();
    server
}

/// So many requests a second for so long.
pub(crate) fn load(server: &EmulatedServer, rate: f64, seconds: f64) -> RunningLoad {
    let steps = vec![Step { rate, seconds }];
    RunningLoad::start(LoadOptions::to(server.addresses().inference, steps)).unwrap()
}
