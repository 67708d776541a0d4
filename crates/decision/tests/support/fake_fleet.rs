//! A deterministic fleet of model servers: requests arrive evenly, are shared evenly, and take equally long.

#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    dead_code,
    reason = "the numbers are small, and each test uses a part of the fleet"
)]

#[path = "alternatives.rs"]
mod alternatives;

use std::time::Duration;

use pushscale_decision::{
    Conditions, Counters, Decision, Latency, ModelReading, Moment, Outcome, Phase, Pod, PodUid,
    Policy, Queue, Reading, Scaler, Selector, ServerState, TargetState,
};

use alternatives::check_alternatives;

/// The conditions of the next seconds.
#[derive(Clone, Debug)]
pub(crate) struct Environment {
    /// Arrival rate of the whole fleet, in requests per second.
    pub(crate) load: f64,
    /// Service time in seconds.
    pub(crate) service: f64,
    /// Workers per pod.
    pub(crate) workers: f64,
    /// The number of pods, oldest first, that do not report.
    pub(crate) not_reporting: usize,
    /// The number of pods, oldest first, in a server state.
    pub(crate) state: Option<(usize, ServerState)>,
    /// The number of pods, oldest first, that are terminating.
    pub(crate) deleting: usize,
    /// No request completes.
    pub(crate) stuck: bool,
    /// New pods never become ready.
    pub(crate) broken: bool,
    /// The share of gRPC requests, whose times the server does not count.
    pub(crate) grpc: f64,
    /// The number of pods, oldest first, that have crashed and are not ready.
    pub(crate) crashed: usize,
    /// The number of additional surge pods of a rollout, which never become ready.
    pub(crate) surge: usize,
    /// Completed requests and the queue are not reported.
    pub(crate) uncounted: bool,
    /// The in-flight requests are reported as a mean too.
    pub(crate) averaged: bool,
    /// The requests that may wait in a pod; 0 if unknown.
    pub(crate) queue_limit: u32,
    /// The seconds that each request waits although a worker is free.
    pub(crate) delay: f64,
    /// Batch size, and batch delay in seconds.
    pub(crate) batch: (u32, f64),
    /// The time that each further request of a batch adds, in seconds.
    pub(crate) batch_item: f64,
    /// The number of pods, oldest first, that are slower, and the factor.
    pub(crate) slow: (usize, f64),
    /// The number of pods, oldest first, that get requests.
    pub(crate) connected: usize,
    /// The share of the requests that the oldest pod gets; the other pods share the rest.
    pub(crate) favoured: Option<f64>,
    /// A second model in every pod: requests per second, and service time in seconds.
    pub(crate) second_model: Option<(f64, f64)>,
    /// The scrape interval in seconds.
    pub(crate) interval: u64,
    /// The seconds that a ready pod takes to start its workers.
    pub(crate) loading: u64,
    /// The number of pods, oldest first, without a worker.
    pub(crate) without_workers: usize,
}

impl Default for Environment {
    /// A healthy fleet without load, read every second.
    fn default() -> Self {
        Self {
            load: 0.0,
            service: 0.1,
            workers: 4.0,
            not_reporting: 0,
            state: None,
            deleting: 0,
            stuck: false,
            broken: false,
            grpc: 0.0,
            crashed: 0,
            surge: 0,
            uncounted: false,
            averaged: false,
            queue_limit: 0,
            delay: 0.0,
            batch: (1, 0.0),
            batch_item: 0.0,
            slow: (0, 1.0),
            connected: usize::MAX,
            favoured: None,
            second_model: None,
            interval: 1,
            loading: 0,
            without_workers: 0,
        }
    }
}

#[derive(Clone)]
struct Server {
    name: String,
    number: u64,
    /// How often its sidecar has restarted.
    sidecar_restarts: u64,
    ready_at: u64,
    reported_ready: bool,
    models: [ModelQueue; 2],
}

/// The counters and the queue of one model.
#[derive(Clone, Copy, Default)]
struct ModelQueue {
    arrivals: f64,
    completed: f64,
    waited: f64,
    total_sojourn: f64,
    queue: f64,
    /// Requests in workers, if none waits.
    busy: f64,
    /// The requests that had completed when the sidecar started, which counts only later ones.
    uncounted: f64,
}

impl ModelQueue {
    /// Serves one second; `workers` counts the requests that are processed in parallel, in batches of up to `batch`.
    ///
    /// Each request waits at least for `delay` seconds.
    fn serve(
        &mut self,
        arrivals: f64,
        time: f64,
        workers: f64,
        batch: (u32, f64),
        delay: f64,
        stuck: bool,
    ) {
        let before = self.queue;
        let service = batch_time(before + arrivals, time, workers, batch);
        let capacity = if stuck { 0.0 } else { workers / service };
        self.arrivals += arrivals;
        self.busy = arrivals * service;
        let done = (self.queue + arrivals).min(capacity);
        self.queue += arrivals - done;
        let wait = (before + self.queue) / 2.0 * service / workers + delay;
        self.completed += done;
        self.waited += done * wait;
        self.total_sojourn += done * (wait + service);
    }

    fn reading(
        &self,
        name: &str,
        service: f64,
        has_workers: bool,
        environment: &Environment,
    ) -> ModelReading {
        let in_flight = if !has_workers {
            0.0
        } else if self.queue >= 1.0 {
            environment.workers
        } else {
            self.busy.min(environment.workers)
        };
        let queue = Queue {
            waiting: self.queue.round() as u32,
            in_flight: in_flight.round() as u32,
            in_flight_milli: environment
                .averaged
                .then_some((in_flight * 1e3).round() as u32),
            workers: u32::from(has_workers) * environment.workers as u32
                / environment.batch.0.max(1),
            batch_size: environment.batch.0,
            batch_delay: Duration::from_secs_f64(environment.batch.1),
            limit: Some(environment.queue_limit).filter(|limit| *limit > 0),
        };
        ModelReading {
            name: name.to_owned(),
            queue_latency: Latency::from_secs_f64(self.queue * service / environment.workers),
            counters: Some(Counters {
                arrivals: self.arrivals as u64,
                rejected: 0,
                completed: (!environment.uncounted)
                    .then_some((self.completed - self.uncounted) as u64),
                total_wait: Duration::from_secs_f64(self.waited * (1.0 - environment.grpc)),
                total_sojourn: Duration::from_secs_f64(
                    self.total_sojourn * (1.0 - environment.grpc),
                ),
            }),
            queue: (!environment.uncounted).then_some(queue),
            service_time: None,
        }
    }
}

/// Returns the time of a batch, in seconds. Workers take what waits: as much as arrives during a batch, or a full
/// batch.
fn batch_time(requests: f64, time: f64, workers: f64, (size, item): (u32, f64)) -> f64 {
    let size = f64::from(size.max(1));
    let batches = workers / size;
    let arriving = requests * (time - item) / (batches - requests * item);
    let filled = if requests * item >= batches {
        size
    } else {
        arriving.clamp(1.0, size)
    };
    time + item * (filled - 1.0)
}

impl Server {
    /// Whether it has workers in this second, if it is ready; `index` is its place in the fleet.
    fn has_workers(&self, index: usize, second: u64, environment: &Environment) -> bool {
        let loads = self.ready_at > 0 && second <= self.ready_at + environment.loading;
        index >= environment.without_workers && !loads
    }

    fn readings(&self, has_workers: bool, environment: &Environment) -> Vec<ModelReading> {
        let first = Some(("sleepy", environment.service));
        let second = environment.second_model;
        let second = second.map(|(_, service)| ("grumpy", service));
        let models = self.models.iter().zip([first, second]);
        models
            .filter_map(|(queue, model)| {
                let (name, service) = model?;
                Some(queue.reading(name, service, has_workers, environment))
            })
            .collect()
    }
}

/// The fleet of one scaler.
#[derive(Clone)]
pub(crate) struct FakeFleet {
    pub(crate) scaler: Scaler,
    pub(crate) second: u64,
    pub(crate) replicas: u32,
    /// The lowest replica count since [`FakeFleet::reset_counts`].
    pub(crate) lowest: u32,
    /// The highest replica count since then.
    pub(crate) highest: u32,
    /// The writes since then.
    pub(crate) writes: u32,
    /// Whether the scaler learns that a scale-down deletes slow pods first. It deletes the youngest ones in any case.
    pub(crate) deletes_slow_first: bool,
    start: u64,
    servers: Vec<Server>,
    numbers: u64,
    surged: usize,
    last: Decision,
}

impl FakeFleet {
    /// Creates a fleet of ready pods. New pods need `start` seconds.
    pub(crate) fn new(policy: Policy, replicas: u32, start: u64) -> Self {
        let mut scaler = Scaler::new(policy, Conditions::default());
        let target = known(replicas, true);
        let last = scaler.decide(Moment::ORIGIN, &target).clone();
        let mut fleet = Self {
            scaler: Scaler::new(policy_of(&scaler), Conditions::default()),
            second: 1000,
            replicas,
            lowest: replicas,
            highest: replicas,
            writes: 0,
            deletes_slow_first: true,
            start,
            servers: Vec::new(),
            numbers: 0,
            surged: 0,
            last,
        };
        fleet.add_servers(replicas, true);
        fleet
    }

    pub(crate) fn last(&self) -> &Decision {
        &self.last
    }

    /// The names of the pods that are deleted before others at a scale-down.
    pub(crate) fn slow_pods(&self) -> Vec<&str> {
        let names = self.servers.iter().map(|server| server.name.as_str());
        names
            .filter(|name| self.scaler.is_slow(&PodUid::from(*name)))
            .collect()
    }

    /// Restarts `lowest`, `highest` and `writes`.
    pub(crate) fn reset_counts(&mut self) {
        (self.lowest, self.highest, self.writes) = (self.replicas, self.replicas, 0);
    }

    /// Restarts the aggregator, which loses its state.
    pub(crate) fn restart(&mut self) {
        let conditions = self.scaler.conditions().clone();
        self.scaler = Scaler::new(policy_of(&self.scaler), conditions);
        for server in &mut self.servers {
            server.reported_ready = false;
        }
    }

    /// Restarts the sidecars of the first pods. Their counts begin again, those of the servers do not.
    pub(crate) fn restart_sidecars(&mut self, count: usize) {
        for server in self.servers.iter_mut().take(count) {
            server.sidecar_restarts += 1;
            for model in &mut server.models {
                model.uncounted = model.completed;
            }
        }
    }

    /// Scales the target as another client.
    pub(crate) fn scale(&mut self, replicas: u32) {
        self.replicas = replicas;
        self.resize();
    }

    /// Simulates one second.
    pub(crate) fn pass(&mut self, environment: &Environment) {
        self.second += 1;
        let now = Moment::from_secs(self.second);
        self.serve(environment);
        self.report(now, environment);
        self.surge(now, environment.surge);
        let target = known(self.replicas, self.deletes_slow_first);
        self.last = self.scaler.decide(now, &target).clone();
        check_alternatives(&self.last);
        if let Outcome::Scale { from, to, .. } = self.last.outcome {
            assert_eq!(
                from, self.replicas,
                "a write starts from the current replicas"
            );
            self.scaler.record_scale(now, from, to);
            self.writes += 1;
            self.replicas = to;
            self.resize();
        }
        self.lowest = self.lowest.min(self.replicas);
        self.highest = self.highest.max(self.replicas);
    }

    fn serve(&mut self, environment: &Environment) {
        let second = self.second;
        let serving = |index: usize, server: &Server| {
            let may_start = !environment.broken || server.reported_ready;
            index >= environment.crashed && may_start && server.ready_at < second
        };
        let servers = self.servers.iter().enumerate();
        let count = servers
            .filter(|(index, server)| serving(*index, server))
            .count();
        let connected = count.clamp(1, environment.connected.max(1)) as f64;
        let equal = 1.0 / connected;
        let (first, other) = environment.favoured.map_or((equal, equal), |first| {
            (first, (1.0 - first) / (connected - 1.0).max(1.0))
        });
        let slow = environment.slow;
        for (index, server) in self.servers.iter_mut().enumerate() {
            if !serving(index, server) {
                continue;
            }
            let factor = if index < slow.0 { slow.1 } else { 1.0 };
            let has_workers = server.has_workers(index, second, environment);
            let models = [
                Some((environment.load, environment.service)),
                environment.second_model,
            ];
            for (queue, model) in server.models.iter_mut().zip(models) {
                if let Some((load, service)) = model {
                    let load = match index {
                        0 => load * first,
                        _ if index < environment.connected => load * other,
                        _ => 0.0,
                    };
                    queue.serve(
                        load,
                        service * if factor.is_finite() { factor } else { 1.0 },
                        environment.workers,
                        (environment.batch.0, environment.batch_item),
                        environment.delay,
                        environment.stuck || factor.is_infinite() || !has_workers,
                    );
                }
            }
        }
    }

    fn report(&mut self, now: Moment, environment: &Environment) {
        for (index, server) in self.servers.iter_mut().enumerate() {
            let uid = PodUid::from(server.name.as_str());
            let may_start = !environment.broken || server.reported_ready;
            let up = index >= environment.crashed;
            let ready = up && may_start && server.ready_at < self.second;
            server.reported_ready |= ready;
            let pod = Pod {
                name: server.name.as_str().into(),
                phase: Phase::Running,
                ready,
                terminating: index < environment.deleting,
            };
            self.scaler.apply_pod(now, uid.clone(), pod);
            let scraped = self.second.is_multiple_of(environment.interval);
            if !ready || index < environment.not_reporting || !scraped {
                continue;
            }
            let state = match environment.state {
                Some((count, state)) if index < count => state,
                _ => ServerState::Ready,
            };
            let reading = Reading {
                source: server.number << 32 | server.sidecar_restarts,
                sequence: self.second,
                clock: now.since_origin(),
                fresh_for: Duration::from_secs(3 * environment.interval),
                terminating: false,
                server: state,
                models: server.readings(
                    server.has_workers(index, self.second, environment),
                    environment,
                ),
            };
            self.scaler.learn(now, &uid, now, &reading).unwrap();
        }
    }

    fn surge(&mut self, now: Moment, count: usize) {
        for number in 0..self.surged.max(count) {
            let name = format!("surge-{number:04}");
            let uid = PodUid::from(name.as_str());
            if number < count {
                let pod = Pod {
                    ready: false,
                    ..Pod::running(&name)
                };
                self.scaler.apply_pod(now, uid, pod);
            } else {
                self.scaler.remove_pod(&uid);
            }
        }
        self.surged = count;
    }

    fn resize(&mut self) {
        while self.servers.len() > self.replicas as usize {
            if let Some(server) = self.servers.pop() {
                self.scaler.remove_pod(&PodUid::from(server.name.as_str()));
            }
        }
        let missing = self.replicas - self.servers.len() as u32;
        self.add_servers(missing, false);
    }

    fn add_servers(&mut self, count: u32, ready: bool) {
        for _ in 0..count {
            self.numbers += 1;
            self.servers.push(Server {
                name: format!("pod-{:04}", self.numbers),
                number: self.numbers,
                sidecar_restarts: 0,
                ready_at: if ready { 0 } else { self.second + self.start },
                reported_ready: false,
                models: Default::default(),
            });
        }
    }
}

fn policy_of(scaler: &Scaler) -> Policy {
    scaler.policy().clone()
}

fn known(replicas: u32, deletes_slow_first: bool) -> TargetState {
    TargetState::Known {
        replicas,
        existing: None,
        selector: Selector::Usable,
        deletes_slow_first,
    }
}
