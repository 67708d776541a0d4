//! Pushes made by hand, as a sidecar would make them.
#![allow(
    clippy::expect_used,
    reason = "helpers of tests, which fail by panicking"
)]

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use pushscale_protocol::{
    Basis, Model, PUSH_PATH, Pod, PortState, Push, Server, Sidecar, State, VERSION,
};

use crate::http::{self, Answer};

/// A pod that pushes.
#[derive(Clone, Debug)]
pub struct Voice {
    /// `metadata.namespace`.
    pub namespace: String,
    /// `metadata.name`.
    pub name: String,
    /// `metadata.uid`.
    pub uid: String,
    began: Instant,
    instance: u64,
    sequence: u64,
}

/// Each voice is a sidecar process of its own.
static INSTANCES: AtomicU64 = AtomicU64::new(1);

impl Voice {
    /// Of this pod.
    pub fn new(namespace: &str, name: &str, uid: &str) -> Self {
        Self {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            uid: uid.to_owned(),
            began: Instant::now(),
            instance: INSTANCES.fetch_add(1, Ordering::Relaxed),
            sequence: 0,
        }
    }

    /// Says that a request that arrives now waits so long; `None`: that it cannot tell.
    pub async fn say(&mut self, aggregator: SocketAddr, wait_seconds: Option<f64>) -> Answer {
        self.sequence += 1;
        let push = Push {
            version: VERSION,
            pod: Pod {
                namespace: self.namespace.as_str().into(),
                name: self.name.as_str().into(),
                uid: self.uid.as_str().into(),
            },
            sidecar: Sidecar {
                version: "test".into(),
                instance: self.instance,
            },
            sequence: self.sequence,
            clock_seconds: self.began.elapsed().as_secs_f64(),
            age_seconds: 0.0,
            interval_seconds: 1.0,
            leaving: false,
            server: Server {
                profile: "torchserve".into(),
                state: State::Ready,
                metrics_port: PortState::Ok,
                management_port: Some(PortState::Ok),
                counter_epoch: 0,
                succeeded_total: None,
                failed_total: None,
            },
            models: vec![Model {
                name: "sleepy".into(),
                queue_latency_seconds: wait_seconds,
                basis: Basis::PendingOverRate,
                refusing: false,
                arrivals_total: None,
                refused_total: None,
                answered_total: None,
                wait_seconds_total: None,
                sojourn_seconds_total: None,
                pending: None,
                in_service: None,
                capacity_left: None,
                workers_ready: None,
                batch_size: None,
                batch_delay_seconds: None,
                service_seconds: None,
                continuous_batching: false,
            }],
        };
        let body = serde_json::to_vec(&push).expect("a push is JSON");
        http::post(aggregator, PUSH_PATH, &body).await
    }
}
