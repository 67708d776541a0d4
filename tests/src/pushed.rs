//! Pushes made by hand, as a sidecar would make them.
#![allow(
    clippy::expect_used,
    reason = "helpers of tests, which fail by panicking"
)]

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use pushscale_protocol::{
    Basis, Model, PUSH_PATH, Pod, PortState, Push, Server, Sidecar, State, VERSION,
};

use crate::http::{self, Answer};

/// What a pod says of its server.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Says {
    /// That a request that arrives now waits so many seconds, and no count of anything: enough for `Ratio`.
    Wait(f64),
    /// That it cannot tell.
    Nothing,
    /// All that a TorchServe of one worker and 100 ms a request shows to which so many requests a second come.
    Load(f64),
    /// The same without the management port: nobody knows how many wait, nor how many were answered.
    LoadBlind(f64),
}

/// A pod that pushes.
#[derive(Clone, Debug)]
pub struct Voice {
    /// `metadata.namespace`.
    pub namespace: String,
    /// `metadata.name`.
    pub name: String,
    /// `metadata.uid`.
    pub uid: String,
    /// The token that it shows, if any.
    pub token: Option<String>,
    began: Instant,
    instance: u64,
    sequence: u64,
    fluid: Fluid,
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
            token: None,
            began: Instant::now(),
            instance: INSTANCES.fetch_add(1, Ordering::Relaxed),
            sequence: 0,
            fluid: Fluid::default(),
        }
    }

    /// Says this.
    pub async fn say(&mut self, aggregator: SocketAddr, says: Says) -> Answer {
        let body = self.words(says);
        self.utter(aggregator, &body).await
    }

    /// Sends a body, one that was said before, too.
    pub async fn utter(&self, aggregator: SocketAddr, body: &[u8]) -> Answer {
        match &self.token {
            Some(token) => {
                let header = format!("Authorization: Bearer {token}");
                http::post_with(aggregator, PUSH_PATH, &header, body).await
            }
            None => http::post(aggregator, PUSH_PATH, body).await,
        }
    }

    /// The body of the next push.
    pub fn words(&mut self, says: Says) -> Vec<u8> {
        self.sequence += 1;
        let clock = self.began.elapsed();
        let model = match says {
            Says::Wait(seconds) => Model {
                queue_latency_seconds: Some(seconds),
                basis: Basis::PendingOverRate,
                ..silent()
            },
            Says::Nothing => silent(),
            Says::Load(rate) => self.fluid.flow(clock, rate),
            Says::LoadBlind(rate) => Model {
                answered_total: None,
                pending: None,
                in_service: None,
                capacity_left: None,
                workers_ready: None,
                batch_size: None,
                ..self.fluid.flow(clock, rate)
            },
        };
        let management = !matches!(says, Says::LoadBlind(_));
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
            clock_seconds: clock.as_secs_f64(),
            age_seconds: 0.0,
            interval_seconds: 1.0,
            leaving: false,
            server: Server {
                profile: "torchserve".into(),
                state: State::Ready,
                metrics_port: PortState::Ok,
                management_port: management.then_some(PortState::Ok),
                counter_epoch: 0,
                succeeded_total: None,
                failed_total: None,
            },
            models: vec![model],
        };
        serde_json::to_vec(&push).expect("a push is JSON")
    }
}

/// How long the one worker takes for a request, in seconds.
const SERVICE: f64 = 0.1;

/// A server as a fluid: what comes in flows out at the worker's pace, and what does not waits.
#[derive(Clone, Copy, Debug, Default)]
struct Fluid {
    at: Duration,
    arrived: f64,
    answered: f64,
    waited: f64,
}

impl Fluid {
    /// Goes on to this moment with so many requests a second.
    fn flow(&mut self, now: Duration, rate: f64) -> Model<'static> {
        let elapsed = now.saturating_sub(self.at).as_secs_f64();
        self.at = now;
        let behind = self.arrived - self.answered;
        self.arrived += rate * elapsed;
        let there = self.arrived - self.answered;
        let answered = there.min(elapsed / SERVICE);
        self.answered += answered;
        let pending = (self.arrived - self.answered).floor();
        // Those answered now waited behind those that were there before.
        self.waited += answered * behind * SERVICE;
        let busy = answered / (elapsed / SERVICE).max(1.0);
        Model {
            queue_latency_seconds: Some(pending * SERVICE),
            basis: Basis::PendingTimesService,
            arrivals_total: Some(self.arrived.floor()),
            refused_total: Some(0.0),
            answered_total: Some(self.answered.floor()),
            wait_seconds_total: Some(self.waited),
            sojourn_seconds_total: Some(self.waited + self.answered.floor() * SERVICE),
            pending: Some(pending),
            in_service: Some(busy.round()),
            capacity_left: Some(1000.0 - pending),
            workers_ready: Some(1.0),
            batch_size: Some(1.0),
            batch_delay_seconds: Some(0.1),
            service_seconds: Some(SERVICE),
            ..silent()
        }
    }
}

/// A model of which nothing is told but its name.
fn silent() -> Model<'static> {
    Model {
        name: "sleepy".into(),
        queue_latency_seconds: None,
        basis: Basis::Nothing,
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
    }
}
