//! What several of these tests need.

use std::time::Duration;

use pushscale_decision::{Bounds, Latency, Policy, Target};
use pushscale_simulator::ServiceTime;
use pushscale_simulator::emulated::{EmulatedServer, ModelOptions, ServerOptions};
use pushscale_simulator::load::{LoadOptions, RunningLoad, Step};
use tokio::time::timeout;

/// How long anything may take that should take a second.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// 1 to 5 replicas at 7 ms, and down after two seconds without need.
pub(crate) fn policy() -> Policy {
    let target = Target::new(Latency::from_nanos(7_000_000)).unwrap();
    let mut policy = Policy::new(Bounds::new(1, 5).unwrap(), target);
    policy.flags.downscale_stabilization = Duration::from_secs(2);
    policy
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
