//! A fleet of model servers without chance in it: requests come evenly, are shared evenly, and take equally long.

use std::time::Duration;

use pushscale_decision::{
    Conditions, Counters, Decision, Latency, ModelReading, Moment, Outcome, Phase, Pod, PodUid,
    Policy, Queue, Reading, Scaler, Selector, ServerState, TargetState,
};

/// What the next seconds are like.
#[derive(Clone, Debug)]
pub struct Environment {
    /// Requests a second, over the whole fleet.
    pub load: f64,
    /// Seconds that a worker takes.
    pub service: f64,
    /// Workers in each pod.
    pub workers: f64,
    /// So many pods, the oldest first, say nothing.
    pub silent: usize,
    /// So many pods, the oldest first, are in this state.
    pub state: Option<(usize, ServerState)>,
    /// So many pods, the oldest first, are being deleted.
    pub deleting: usize,
    /// Nothing is answered.
    pub stuck: bool,
    /// Pods never become ready.
    pub broken: bool,
    /// So many more pods of a rollout, which never become ready, are there beside the others.
    pub surge: usize,
    /// Answers are not counted, and nobody tells the queue.
    pub uncounted: bool,
    /// Requests a batch, and seconds that the server waits for one.
    pub batch: (u32, f64),
    /// So many pods, the oldest first, take so many times as long.
    pub slow: (usize, f64),
    /// A second model in every pod: requests a second, and seconds that a worker takes.
    pub beside: Option<(f64, f64)>,
}

#[derive(Clone)]
struct Server {
    name: String,
    number: u64,
    ready_at: u64,
    reported_ready: bool,
    models: [ModelQueue; 2],
}

/// What a server has counted for one model, and the queue of it.
#[derive(Clone, Copy, Default)]
struct ModelQueue {
    arrivals: f64,
    completed: f64,
    waited: f64,
    total_sojourn: f64,
    queue: f64,
}

impl ModelQueue {
    fn serve(&mut self, came: f64, service: f64, workers: f64, stuck: bool) {
        let can = if stuck { 0.0 } else { workers / service };
        let before = self.queue;
        self.arrivals += came;
        let done = (self.queue + came).min(can);
        self.queue += came - done;
        let wait = (before + self.queue) / 2.0 * service / workers;
        self.completed += done;
        self.waited += done * wait;
        self.total_sojourn += done * (wait + service);
    }

    fn reading(
        &self,
        name: &str,
        (load, service): (f64, f64),
        environment: &Environment,
    ) -> ModelReading {
        let busy = (load * service).min(environment.workers);
        let queue = Queue {
            waiting: self.queue.round() as u32,
            in_service: if self.queue >= 1.0 {
                environment.workers
            } else {
                busy
            } as u32,
            workers: environment.workers as u32 / environment.batch.0.max(1),
            batch_size: environment.batch.0,
            batch_delay: Duration::from_secs_f64(environment.batch.1),
        };
        ModelReading {
            name: name.to_owned(),
            queue_latency: Latency::from_secs_f64(self.queue * service / environment.workers),
            counters: Some(Counters {
                arrivals: self.arrivals as u64,
                rejected: 0,
                completed: (!environment.uncounted).then_some(self.completed as u64),
                total_wait: Duration::from_secs_f64(self.waited),
                total_sojourn: Duration::from_secs_f64(self.total_sojourn),
            }),
            queue: (!environment.uncounted).then_some(queue),
            service_time: None,
        }
    }
}

impl Server {
    fn told(&self, environment: &Environment) -> Vec<ModelReading> {
        let sleepy = Some(("sleepy", (environment.load, environment.service)));
        let beside = environment.beside.map(|model| ("grumpy", model));
        let models = self.models.iter().zip([sleepy, beside]);
        models
            .filter_map(|(tally, model)| {
                let (name, model) = model?;
                Some(tally.reading(name, model, environment))
            })
            .collect()
    }
}

/// The fleet of one scaler.
#[derive(Clone)]
pub struct FakeFleet {
    pub scaler: Scaler,
    pub second: u64,
    pub size: u32,
    /// The smallest size since [`FakeFleet::forget`].
    pub smallest: u32,
    /// The largest.
    pub largest: u32,
    pub writes: u32,
    start: u64,
    servers: Vec<Server>,
    numbers: u64,
    surged: usize,
    last: Decision,
}

impl FakeFleet {
    /// A fleet whose `size` pods have been ready for long. A new one takes `start` seconds.
    pub fn new(policy: Policy, size: u32, start: u64) -> Self {
        let mut scaler = Scaler::new(policy, Conditions::default());
        let facts = known(size);
        let last = scaler.decide(Moment::ORIGIN, &facts).clone();
        let mut fleet = Self {
            scaler: Scaler::new(last_policy(&scaler), Conditions::default()),
            second: 1000,
            size,
            smallest: size,
            largest: size,
            writes: 0,
            start,
            servers: Vec::new(),
            numbers: 0,
            surged: 0,
            last,
        };
        fleet.order(size, true);
        fleet
    }

    pub fn last(&self) -> &Decision {
        &self.last
    }

    /// The sizes seen so far do not matter any more.
    pub fn forget(&mut self) {
        (self.smallest, self.largest, self.writes) = (self.size, self.size, 0);
    }

    /// The process is started anew: what was learnt is gone.
    pub fn restart(&mut self) {
        let conditions = self.scaler.conditions().clone();
        self.scaler = Scaler::new(last_policy(&self.scaler), conditions);
        for server in &mut self.servers {
            server.reported_ready = false;
        }
    }

    /// Somebody sets the size.
    pub fn set(&mut self, size: u32) {
        self.size = size;
        self.resize();
    }

    /// Lets a second pass.
    pub fn pass(&mut self, environment: &Environment) {
        self.second += 1;
        let now = Moment::from_secs(self.second);
        self.serve(environment);
        self.tell(now, environment);
        self.surge(now, environment.surge);
        self.last = self.scaler.decide(now, &known(self.size)).clone();
        if let Outcome::Scale { from, to, .. } = self.last.outcome {
            assert_eq!(
                from, self.size,
                "a write starts from the size that is there"
            );
            self.scaler.record_scale(now, from, to);
            self.writes += 1;
            self.size = to;
            self.resize();
        }
        self.smallest = self.smallest.min(self.size);
        self.largest = self.largest.max(self.size);
    }

    fn serve(&mut self, environment: &Environment) {
        let second = self.second;
        let serving = |server: &Server| server.ready_at < second;
        let count = self.servers.iter().filter(|server| serving(server)).count();
        let share = 1.0 / count.max(1) as f64;
        let slow = environment.slow;
        for (index, server) in self.servers.iter_mut().enumerate() {
            if !serving(server) {
                continue;
            }
            let times = if index < slow.0 { slow.1 } else { 1.0 };
            let models = [
                Some((environment.load, environment.service)),
                environment.beside,
            ];
            for (tally, model) in server.models.iter_mut().zip(models) {
                if let Some((load, service)) = model {
                    tally.serve(
                        load * share,
                        service * times,
                        environment.workers,
                        environment.stuck,
                    );
                }
            }
        }
    }

    fn tell(&mut self, now: Moment, environment: &Environment) {
        for (index, server) in self.servers.iter_mut().enumerate() {
            let uid = PodUid::from(server.name.as_str());
            let opens = !environment.broken || server.reported_ready;
            let ready = opens && server.ready_at < self.second;
            server.reported_ready |= ready;
            let pod = Pod {
                name: server.name.as_str().into(),
                phase: Phase::Running,
                ready,
                terminating: index < environment.deleting,
            };
            self.scaler.apply_pod(now, uid.clone(), pod);
            if !ready || index < environment.silent {
                continue;
            }
            let state = match environment.state {
                Some((count, state)) if index < count => state,
                _ => ServerState::Ready,
            };
            let reading = Reading {
                source: server.number,
                sequence: self.second,
                clock: now.since_origin(),
                fresh_for: Duration::from_secs(3),
                terminating: false,
                server: state,
                models: server.told(environment),
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
        while self.servers.len() > self.size as usize {
            if let Some(server) = self.servers.pop() {
                self.scaler.remove_pod(&PodUid::from(server.name.as_str()));
            }
        }
        let missing = self.size - self.servers.len() as u32;
        self.order(missing, false);
    }

    fn order(&mut self, count: u32, ready: bool) {
        for _ in 0..count {
            self.numbers += 1;
            self.servers.push(Server {
                name: format!("pod-{:04}", self.numbers),
                number: self.numbers,
                ready_at: if ready { 0 } else { self.second + self.start },
                reported_ready: false,
                models: Default::default(),
            });
        }
    }
}

fn last_policy(scaler: &Scaler) -> Policy {
    scaler.policy().clone()
}

fn known(replicas: u32) -> TargetState {
    TargetState::Known {
        replicas,
        selector: Selector::Usable,
    }
}
