//! The pods of a cluster: their creation, removal and faults.

use rand::RngExt as _;
use rand_distr::{Distribution as _, StandardNormal};

use super::crash_loop::CrashLoop;
use super::deletion::Deletion;
use super::fault::{Fault, PodCount};
use super::job::Job;
use super::pod::Pod;
use super::random::Random;
use super::rollout::Rollout;
use super::spec::ClusterSpec;
use super::view::PodState;

#[derive(Debug)]
pub(super) struct Fleet {
    /// The pods, oldest first.
    pub(super) pods: Vec<Pod>,
    created: u64,
    /// The number of pods still to be created that never become ready.
    never_ready: u32,
    /// The number of rollouts that have begun, and the factor of the last one on the service time.
    version: u32,
    version_factor: f64,
    /// The number of pods that a rollout may create in addition to the replicas; 0 without one.
    surge: usize,
    /// The number of pods created after the start of the run.
    pub(super) starts: u64,
    /// The requests that were lost with their pods in this second, or on which their clients gave up.
    pub(super) lost: Vec<Job>,
    /// The start and the ready time of the last round of starts.
    round: Option<(f64, f64)>,
}

impl Fleet {
    /// Creates the initial pods.
    pub(super) fn new(spec: &ClusterSpec, random: &mut Random) -> Self {
        let mut fleet = Self {
            pods: Vec::new(),
            created: 0,
            never_ready: 0,
            version: 0,
            version_factor: 1.0,
            surge: 0,
            starts: 0,
            lost: Vec::new(),
            round: None,
        };
        for _ in 0..spec.pods {
            fleet.create_pod(spec, 0.0, random);
        }
        fleet.round = None;
        for pod in &mut fleet.pods {
            pod.mark_warm();
        }
        fleet
    }

    fn create_pod(&mut self, spec: &ClusterSpec, now: f64, random: &mut Random) {
        // Both values are drawn for every pod, so that the values of the next pod do not depend on the settings.
        let (share, deviation): (f64, f64) = (random.random(), StandardNormal.sample(random));
        let (least, most) = spec.start_delay;
        let ready_at = if self.never_ready > 0 {
            self.never_ready -= 1;
            f64::INFINITY
        } else {
            self.ready_at(spec, now, least + (most - least) * share)
        };
        let speed = (spec.speeds * deviation).exp() / self.version_factor;
        self.created += 1;
        let mut pod = Pod::new(self.created, spec, now, ready_at, speed);
        pod.version = self.version;
        self.pods.push(pod);
    }

    /// Returns when a pod that is created now becomes ready. All pods of a round become ready together.
    fn ready_at(&mut self, spec: &ClusterSpec, now: f64, delay: f64) -> f64 {
        let current = |(start, _): &(f64, f64)| now - start < spec.start_round;
        let round = self.round.filter(current);
        let (_, ready_at) = *self.round.insert(round.unwrap_or((now, now + delay)));
        ready_at
    }

    /// Marks pods as ready whose start delay or failure is over, and restarts containers that crash now.
    pub(super) fn mark_ready(&mut self, now: f64) {
        for pod in &mut self.pods {
            if matches!(pod.state, PodState::Starting | PodState::Unready) && pod.ready_at <= now {
                pod.mark_ready(now);
            }
            if pod.state == PodState::Ready
                && let Some(crash_loop) = &mut pod.crash_loop
                && let Some(until) = crash_loop.crash(now)
            {
                self.lost.append(&mut pod.crash(until));
            }
        }
    }

    /// Creates or removes pods to reach the desired replicas. Terminating pods do not count.
    pub(super) fn scale_to(
        &mut self,
        desired: u32,
        spec: &ClusterSpec,
        now: f64,
        random: &mut Random,
        cost: impl Fn(u64) -> u32,
    ) {
        let desired = desired as usize;
        let count = self.pods.iter().filter(|pod| stays(pod)).count();
        for _ in count..desired {
            self.create_pod(spec, now, random);
            self.starts += 1;
        }
        let most = desired + self.surge;
        if count <= most {
            return;
        }
        let mut staying: Vec<usize> = (0..self.pods.len())
            .filter(|index| stays(&self.pods[*index]))
            .collect();
        match spec.deletion {
            Deletion::Cost => staying.sort_by(|one, other| {
                let (one, other) = (&self.pods[*one], &self.pods[*other]);
                let by_state = rank(one).cmp(&rank(other));
                let by_cost = cost(one.id).cmp(&cost(other.id));
                by_state
                    .then(by_cost)
                    .then(other.created.total_cmp(&one.created))
            }),
            Deletion::Youngest => staying.reverse(),
        }
        let mut cancelled = Vec::new();
        for index in staying.into_iter().take(count - most) {
            let pod = &mut self.pods[index];
            if pod.state == PodState::Starting {
                cancelled.push(pod.id);
            } else {
                pod.state = PodState::Terminating;
            }
        }
        self.pods.retain(|pod| !cancelled.contains(&pod.id));
    }

    /// Marks the requests that have waited for longer than `timeout` seconds as abandoned by their clients.
    pub(super) fn time_out(&mut self, now: f64, timeout: f64) {
        for pod in &mut self.pods {
            pod.time_out(now, timeout, &mut self.lost);
        }
    }

    /// Returns the number of requests in all pods whose clients wait for the response.
    pub(super) fn awaited(&self) -> usize {
        self.pods.iter().map(Pod::awaited).sum()
    }

    /// Begins the rollouts of this second, and continues the current one.
    pub(super) fn roll_out(
        &mut self,
        replicas: u32,
        spec: &ClusterSpec,
        second: usize,
        random: &mut Random,
    ) {
        let begun = spec.rollouts.iter().filter(|rollout| rollout.at == second);
        for rollout in begun {
            self.version += 1;
            self.version_factor = rollout.factor;
        }
        if self.version == 0 {
            return;
        }
        let (replicas, version) = (replicas as usize, self.version);
        let staying = || self.pods.iter().filter(|pod| stays(pod));
        let old = staying().filter(|pod| pod.version < version).count();
        let new = staying().count() - old;
        if old == 0 {
            self.surge = 0;
            return;
        }
        self.surge = Rollout::max_surge(replicas);
        let room = (replicas + self.surge).saturating_sub(old + new);
        for _ in 0..room.min(replicas.saturating_sub(new)) {
            self.create_pod(spec, second as f64, random);
            self.starts += 1;
        }
        self.delete_old(replicas);
    }

    /// Deletes the pods of previous versions that a rollout does not need any more.
    fn delete_old(&mut self, replicas: usize) {
        let version = self.version;
        let old = |pod: &Pod| pod.version < version;
        self.pods
            .retain(|pod| !(old(pod) && pod.state == PodState::Starting));
        let is_ready = |pod: &&Pod| pod.state == PodState::Ready;
        let ready = self.pods.iter().filter(is_ready).count();
        let mut spare = ready.saturating_sub(Rollout::min_ready(replicas));
        for pod in self.pods.iter_mut().filter(|pod| old(pod) && stays(pod)) {
            if pod.state == PodState::Ready {
                if spare == 0 {
                    continue;
                }
                spare -= 1;
            }
            pod.state = PodState::Terminating;
        }
    }

    /// Removes pods that have drained.
    pub(super) fn remove_drained(&mut self) {
        self.pods
            .retain(|pod| pod.state != PodState::Terminating || pod.in_system() > 0);
    }

    /// Applies the faults of this second. All pods must have advanced to now.
    pub(super) fn apply_faults(&mut self, faults: &[Fault], second: usize, random: &mut Random) {
        let now = second as f64;
        for fault in faults.iter().filter(|fault| fault.is_due(second)) {
            match fault {
                Fault::NeverReady { pods, .. } => self.never_ready += pods,
                Fault::Freeze { when, pods } => {
                    self.apply_to_random(*pods, random, |pod| pod.freeze(now, when.end as f64));
                }
                Fault::Hang { when, pods } => {
                    self.apply_to_random(*pods, random, |pod| pod.stop(now, when.end as f64));
                }
                Fault::Slow { when, pods, factor } => {
                    self.apply_to_random(*pods, random, |pod| pod.slow(*factor, when.end as f64));
                }
                Fault::Unready { when, pods } => {
                    self.apply_to_random(*pods, random, |pod| pod.fail_probe(when.end as f64));
                }
                Fault::CrashLoop { pods, down, up, .. } => {
                    let crash_loop = CrashLoop {
                        next: now,
                        down: *down as f64,
                        up: *up as f64,
                    };
                    self.apply_to_random(*pods, random, |pod| pod.crash_loop = Some(crash_loop));
                }
                Fault::CrashWaves { pods, down, .. } => {
                    let until = now + *down as f64;
                    for index in self.pick(*pods, random) {
                        self.lost.append(&mut self.pods[index].crash(until));
                    }
                }
                Fault::RestartSidecars { pods, .. } => {
                    self.apply_to_random(*pods, random, |pod| pod.sidecar_restarts += 1);
                }
                Fault::Die { pods, .. } => {
                    let mut dead = self.pick(*pods, random);
                    dead.sort_unstable();
                    while let Some(index) = dead.pop() {
                        self.lost
                            .append(&mut self.pods.remove(index).take_requests());
                    }
                }
            }
        }
    }

    fn apply_to_random(&mut self, count: PodCount, random: &mut Random, apply: impl Fn(&mut Pod)) {
        for index in self.pick(count, random) {
            apply(&mut self.pods[index]);
        }
    }

    /// Picks random ready pods, or all if there are fewer.
    fn pick(&self, count: PodCount, random: &mut Random) -> Vec<usize> {
        let mut ready: Vec<usize> = (0..self.pods.len())
            .filter(|index| self.pods[*index].state == PodState::Ready)
            .collect();
        let count = count.affected(ready.len());
        let mut picked = Vec::new();
        while picked.len() < count {
            picked.push(ready.swap_remove(random.random_range(0..ready.len())));
        }
        picked
    }
}

/// Whether a pod counts towards the replicas.
fn stays(pod: &Pod) -> bool {
    pod.state != PodState::Terminating
}

/// Returns the order in which a ReplicaSet removes pods.
fn rank(pod: &Pod) -> u8 {
    match pod.state {
        PodState::Starting => 0,
        PodState::Unready => 1,
        PodState::Ready | PodState::Terminating => 2,
    }
}
