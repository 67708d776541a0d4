//! A pod that pushes readings like a sidecar, without a server.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use pushscale_protocol::{
    Basis, Model, PUSH_PATH, Pod, PortState, Push, Server, Sidecar, State, VERSION,
};

use crate::http::{self, Response};

/// The load that a fake pod reports.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Load {
    /// Only a queue latency in seconds, without any counters; this is enough for `Ratio`.
    QueueLatency(f64),
    /// No measurements.
    Unknown,
    /// All measurements of a TorchServe with one worker and a service time of 100 ms, at this arrival rate per second.
    Rate(f64),
    /// The same without the management port: queue depth and completed requests are unknown.
    RateWithoutCounters(f64),
}

/// A pod may push every 50 ms. After this time, a rejection for that reason is no coincidence.
const RATE_LIMITED: Duration = Duration::from_secs(10);

/// A pod that pushes readings without a sidecar.
#[derive(Clone, Debug)]
pub struct FakePod {
    /// `metadata.namespace`.
    pub namespace: String,
    /// `metadata.name`.
    pub name: String,
    /// `metadata.uid`.
    pub uid: String,
    /// The bearer token of its pushes, if any.
    pub token: Option<String>,
    /// Names of further models that it reports, which get no requests.
    pub idle_models: Vec<String>,
    start: Instant,
    instance: u64,
    sequence: u64,
    server: FluidServer,
}

/// The instance number of the next fake sidecar; each one counts as a process of its own.
static INSTANCES: AtomicU64 = AtomicU64::new(1);

impl FakePod {
    /// Creates a fake sidecar for this pod.
    pub fn new(namespace: &str, name: &str, uid: &str) -> Self {
        Self {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            uid: uid.to_owned(),
            token: None,
            idle_models: Vec::new(),
            start: Instant::now(),
            instance: INSTANCES.fetch_add(1, Ordering::Relaxed),
            sequence: 0,
            server: FluidServer::default(),
        }
    }

    /// Pushes the next reading, and again while the aggregator rejects it because it came too soon after the last one.
    pub async fn push(&mut self, aggregator: SocketAddr, load: Load) -> Response {
        let body = self.next_body(load);
        let start = Instant::now();
        loop {
            let response = self.push_body(aggregator, &body).await;
            if response.status != 429 || start.elapsed() > RATE_LIMITED {
                return response;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Pushes this body, which may be one that was pushed before.
    pub async fn push_body(&self, aggregator: SocketAddr, body: &[u8]) -> Response {
        match &self.token {
            Some(token) => {
                let header = format!("Authorization: Bearer {token}");
                http::post_with(aggregator, PUSH_PATH, &header, body).await
            }
            None => http::post(aggregator, PUSH_PATH, body).await,
        }
    }

    /// Returns the body of the next push.
    pub fn next_body(&mut self, load: Load) -> Vec<u8> {
        self.sequence += 1;
        let clock = self.start.elapsed();
        let model = match load {
            Load::QueueLatency(seconds) => Model {
                queue_latency_seconds: Some(seconds),
                basis: Basis::WaitingOverRate,
                ..unknown_model()
            },
            Load::Unknown => unknown_model(),
            Load::Rate(rate) => self.server.flow(clock, rate),
            Load::RateWithoutCounters(rate) => Model {
                completed_total: None,
                waiting: None,
                in_flight: None,
                capacity_left: None,
                workers_ready: None,
                batch_size: None,
                ..self.server.flow(clock, rate)
            },
        };
        let idle = self.idle_models.iter().map(|name| Model {
            name: name.into(),
            queue_latency_seconds: Some(0.0),
            basis: Basis::WaitingOverRate,
            ..unknown_model()
        });
        let management = !matches!(load, Load::RateWithoutCounters(_));
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
            terminating: false,
            server: Server {
                profile: "torchserve".into(),
                state: State::Ready,
                metrics_port: PortState::Ok,
                management_port: management.then_some(PortState::Ok),
                counter_epoch: 0,
                succeeded_total: None,
                failed_total: None,
            },
            models: std::iter::once(model).chain(idle).collect(),
        };
        serde_json::to_vec(&push).expect("a push is JSON")
    }
}

/// Service time, in seconds.
const SERVICE: f64 = 0.1;

/// A model server as a fluid: requests leave at the rate of its worker, and the rest waits.
#[derive(Clone, Copy, Debug, Default)]
struct FluidServer {
    at: Duration,
    arrived: f64,
    rejected: f64,
    completed: f64,
    waited: f64,
}

/// Requests that wait at most. Others are rejected.
const QUEUE: f64 = 1000.0;

impl FluidServer {
    /// Advances to `now` at this arrival rate per second, and returns the measurements.
    fn flow(&mut self, now: Duration, rate: f64) -> Model<'static> {
        let elapsed = now.saturating_sub(self.at).as_secs_f64();
        self.at = now;
        let behind = self.arrived - self.rejected - self.completed;
        self.arrived += rate * elapsed;
        let there = self.arrived - self.rejected - self.completed;
        let completed = there.min(elapsed / SERVICE);
        self.completed += completed;
        self.rejected += (there - completed - QUEUE).max(0.0);
        let waiting = (self.arrived - self.rejected - self.completed).floor();
        // The completed requests waited for those that were there before.
        self.waited += completed * behind * SERVICE;
        let busy = completed / (elapsed / SERVICE).max(1.0);
        Model {
            queue_latency_seconds: Some(waiting * SERVICE),
            basis: Basis::WaitingTimesService,
            arrivals_total: Some(self.arrived.floor()),
            rejected_total: Some(self.rejected.floor()),
            completed_total: Some(self.completed.floor()),
            wait_seconds_total: Some(self.waited),
            sojourn_seconds_total: Some(self.waited + self.completed.floor() * SERVICE),
            waiting: Some(waiting),
            in_flight: Some(busy.round()),
            capacity_left: Some(QUEUE - waiting),
            workers_ready: Some(1.0),
            batch_size: Some(1.0),
            batch_delay_seconds: Some(0.1),
            service_seconds: Some(SERVICE),
            ..unknown_model()
        }
    }
}

/// A model without measurements.
fn unknown_model() -> Model<'static> {
    Model {
        name: "sleepy".into(),
        queue_latency_seconds: None,
        basis: Basis::Nothing,
        rejecting: false,
        arrivals_total: None,
        rejected_total: None,
        completed_total: None,
        wait_seconds_total: None,
        sojourn_seconds_total: None,
        waiting: None,
        in_flight: None,
        capacity_left: None,
        workers_ready: None,
        batch_size: None,
        batch_delay_seconds: None,
        service_seconds: None,
        continuous_batching: false,
    }
}
