//! A fleet of model servers without chance in it: requests come evenly, are shared evenly, and take equally long.

use std::time::Duration;

use pushscale_decision::{
    Conditions, Counters, Decision, Latency, ModelReading, Moment, Outcome, Phase, Pod, PodUid,
    Policy, Queue, Reading, Scaler, Selector, ServerState, TargetFacts,
};

/// What the next seconds are like.
#[derive(Clone, Debug)]
pub struct Weather {
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
    told_ready: bool,
    models: [Tally; 2],
}

/// What a server has counted for one model, and the queue of it.
#[derive(Clone, Copy, Default)]
struct Tally {
    arrivals: f64,
    answered: f64,
    waited: f64,
    sojourned: f64,
    queue: f64,
}

impl Tally {
    fn serve(&mut self, came: f64, service: f64, workers: f64, stuck: bool) {
        let can = if stuck { 0.0 } else { workers / service };
        let before = self.queue;
        self.arrivals += came;
        let done = (self.queue + came).min(can);
        self.queue += came - done;
        let wait = (before + self.queue) / 2.0 * service / workers;
        self.answered += done;
        self.waited += done * wait;
        self.sojourned += done * (wait + service);
    }

    fn reading(&self, name: &str, (load, service): (f64, f64), weather: &Weather) -> ModelReading {
        let busy = (load * service).min(weather.workers);
        let queue = Queue {
            pending: self.queue.round() as u32,
            in_service: if self.queue >= 1.0 {
                weather.workers
            } else {
                busy
            } as u32,
            workers: weather.workers as u32 / weather.batch.0.max(1),
            batch_size: weather.batch.0,
            batch_delay: Duration::from_secs_f64(weather.batch.1),
        };
        ModelReading {
            name: name.to_owned(),
            queue_latency: Latency::from_secs_f64(self.queue * service / weather.workers),
            counters: Some(Counters {
                arrivals: self.arrivals as u64,
                refused: 0,
                answered: (!weather.uncounted).then_some(self.answered as u64),
                waited: Duration::from_secs_f64(self.waited),
                sojourned: Duration::from_secs_f64(self.sojourned),
            }),
            queue: (!weather.uncounted).then_some(queue),
            service: None,
        }
    }
}

impl Server {
    fn told(&self, weather: &Weather) -> Vec<ModelReading> {
        let sleepy = Some(("sleepy", (weather.load, weather.service)));
        let beside = weather.beside.map(|model| ("grumpy", model));
        let models = self.models.iter().zip([sleepy, beside]);
        models
            .filter_map(|(tally, model)| {
                let (name, model) = model?;
                Some(tally.reading(name, model, weather))
            })
            .collect()
    }
}

/// The world of one scaler.
#[derive(Clone)]
pub struct World {
    pub scaler: Scaler,
    pub second: u64,
    pub size: u32,
    /// The smallest size since [`World::forget`].
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

impl World {
    /// A world whose `size` pods have been ready for long. A new one takes `start` seconds.
    pub fn new(policy: Policy, size: u32, start: u64) -> Self {
        let mut scaler = Scaler::new(policy, Conditions::default());
        let facts = known(size);
        let last = scaler.decide(Moment::ORIGIN, &facts).clone();
        let mut world = Self {
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
        world.order(size, true);
        world
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
            server.told_ready = false;
        }
    }

    /// Somebody sets the size.
    pub fn set(&mut self, size: u32) {
        self.size = size;
        self.resize();
    }

    /// Lets a second pass.
    pub fn pass(&mut self, weather: &Weather) {
        self.second += 1;
        let now = Moment::from_secs(self.second);
        self.serve(weather);
        self.tell(now, weather);
        self.surge(now, weather.surge);
        self.last = self.scaler.decide(now, &known(self.size)).clone();
        if let Outcome::Scale { from, to, .. } = self.last.outcome {
            assert_eq!(
                from, self.size,
                "a write starts from the size that is there"
            );
            self.scaler.wrote(now, from, to);
            self.writes += 1;
            self.size = to;
            self.resize();
        }
        self.smallest = self.smallest.min(self.size);
        self.largest = self.largest.max(self.size);
    }

    fn serve(&mut self, weather: &Weather) {
        let second = self.second;
        let serving = |server: &Server| server.ready_at < second;
        let count = self.servers.iter().filter(|server| serving(server)).count();
        let share = 1.0 / count.max(1) as f64;
        let slow = weather.slow;
        for (index, server) in self.servers.iter_mut().enumerate() {
            if !serving(server) {
                continue;
            }
            let times = if index < slow.0 { slow.1 } else { 1.0 };
            let models = [Some((weather.load, weather.service)), weather.beside];
            for (tally, model) in server.models.iter_mut().zip(models) {
                if let Some((load, service)) = model {
                    tally.serve(
                        load * share,
                        service * times,
                        weather.workers,
                        weather.stuck,
                    );
                }
            }
        }
    }

    fn tell(&mut self, now: Moment, weather: &Weather) {
        for (index, server) in self.servers.iter_mut().enumerate() {
            let uid = PodUid::from(server.name.as_str());
            let opens = !weather.broken || server.told_ready;
            let ready = opens && server.ready_at < self.second;
            server.told_ready |= ready;
            let pod = Pod {
                name: server.name.as_str().into(),
                phase: Phase::Running,
                ready,
                deleting: index < weather.deleting,
            };
            self.scaler.apply_pod(now, uid.clone(), pod);
            if !ready || index < weather.silent {
                continue;
            }
            let state = match weather.state {
                Some((count, state)) if index < count => state,
                _ => ServerState::Ready,
            };
            let reading = Reading {
                taken: now,
                source: server.number,
                sequence: self.second,
                clock: now.since_origin(),
                fresh_for: Duration::from_secs(3),
                leaving: false,
                server: state,
                models: server.told(weather),
            };
            self.scaler.learn(now, &uid, &reading).unwrap();
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
                self.scaler.forget_pod(&uid);
            }
        }
        self.surged = count;
    }

    fn resize(&mut self) {
        while self.servers.len() > self.size as usize {
            if let Some(server) = self.servers.pop() {
                self.scaler.forget_pod(&PodUid::from(server.name.as_str()));
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
                told_ready: false,
                models: Default::default(),
            });
        }
    }
}

fn last_policy(scaler: &Scaler) -> Policy {
    scaler.policy().clone()
}

fn known(replicas: u32) -> TargetFacts {
    TargetFacts::Known {
        replicas,
        selector: Selector::Usable,
    }
}
