//! The pods of a cluster: their creation, removal and faults.

use rand::RngExt as _;
use rand_distr::{Distribution as _, StandardNormal};

use super::fault::Fault;
use super::metrics::Metrics;
use super::pod::Pod;
use super::random::Random;
use super::view::PodState;
use super::world::World;

#[derive(Debug)]
pub(super) struct Fleet {
    /// The pods, oldest first.
    pub(super) pods: Vec<Pod>,
    made: u64,
    /// The number of pods still to be created that never become ready.
    broken: u32,
    /// The number of pods created after the start of the run.
    pub(super) starts: u64,
    /// The number of requests lost with their pods.
    pub(super) lost: u64,
}

impl Fleet {
    /// Creates the initial pods.
    pub(super) fn new(world: &World, random: &mut Random) -> Self {
        let mut fleet = Self {
            pods: Vec::new(),
            made: 0,
            broken: 0,
            starts: 0,
            lost: 0,
        };
        for _ in 0..world.pods {
            fleet.make(world, 0.0, random);
        }
        for pod in &mut fleet.pods {
            pod.begin();
        }
        fleet
    }

    fn make(&mut self, world: &World, now: f64, random: &mut Random) {
        // Both values are drawn for every pod, so that the values of the next pod do not depend on the settings.
        let (share, deviation): (f64, f64) = (random.random(), StandardNormal.sample(random));
        let (least, most) = world.start_delay;
        let ready_at = if self.broken > 0 {
            self.broken -= 1;
            f64::INFINITY
        } else {
            now + least + (most - least) * share
        };
        let speed = (world.speeds * deviation).exp();
        self.made += 1;
        self.pods.push(Pod::new(
            self.made,
            world.workers,
            world.batching,
            now,
            ready_at,
            speed,
        ));
    }

    /// Marks starting pods as ready whose start delay is over.
    pub(super) fn begin(&mut self, now: f64) {
        for pod in &mut self.pods {
            if pod.state == PodState::Starting && pod.ready_at <= now {
                pod.begin();
            }
        }
    }

    /// Creates or removes pods to reach the desired replicas. Draining pods do not count. Like a ReplicaSet, it removes
    /// starting pods first, then the youngest pods.
    pub(super) fn reach(&mut self, wanted: u32, world: &World, now: f64, random: &mut Random) {
        let wanted = wanted as usize;
        let stays = |pod: &Pod| pod.state != PodState::Draining;
        let count = self.pods.iter().filter(|pod| stays(pod)).count();
        for _ in count..wanted {
            self.make(world, now, random);
            self.starts += 1;
        }
        if count <= wanted {
            return;
        }
        let mut staying: Vec<usize> = (0..self.pods.len())
            .filter(|index| stays(&self.pods[*index]))
            .collect();
        staying.sort_by(|one, other| {
            let (one, other) = (&self.pods[*one], &self.pods[*other]);
            let serves = |pod: &Pod| pod.state == PodState::Serving;
            let by_state = serves(one).cmp(&serves(other));
            by_state.then(other.made.total_cmp(&one.made))
        });
        let mut cancelled = Vec::new();
        for index in staying.into_iter().take(count - wanted) {
            let pod = &mut self.pods[index];
            if pod.state == PodState::Starting {
                cancelled.push(pod.id);
            } else {
                pod.state = PodState::Draining;
            }
        }
        self.pods.retain(|pod| !cancelled.contains(&pod.id));
    }

    /// Removes pods that have drained.
    pub(super) fn bury(&mut self) {
        self.pods
            .retain(|pod| pod.state != PodState::Draining || pod.in_system() > 0);
    }

    /// Applies the faults that begin in this second. All pods must be settled up to now.
    pub(super) fn suffer(
        &mut self,
        faults: &[Fault],
        second: usize,
        random: &mut Random,
        metrics: &mut Metrics,
    ) {
        let now = second as f64;
        for fault in faults.iter().filter(|fault| fault.begins() == second) {
            match fault {
                Fault::NeverReady { pods, .. } => self.broken += pods,
                Fault::Freeze { when, pods } => {
                    for index in self.pick(*pods, random) {
                        self.pods[index].freeze(now, when.end as f64);
                    }
                }
                Fault::Die { pods, .. } => {
                    let mut dead = self.pick(*pods, random);
                    dead.sort_unstable();
                    while let Some(index) = dead.pop() {
                        for job in self.pods.remove(index).abandon() {
                            self.lost += 1;
                            metrics.failed(job.arrived);
                        }
                    }
                }
            }
        }
    }

    /// Picks `count` random ready pods, or all if there are fewer.
    fn pick(&self, count: u32, random: &mut Random) -> Vec<usize> {
        let mut serving: Vec<usize> = (0..self.pods.len())
            .filter(|index| self.pods[*index].state == PodState::Serving)
            .collect();
        let mut picked = Vec::new();
        while picked.len() < count as usize && !serving.is_empty() {
            picked.push(serving.swap_remove(random.random_range(0..serving.len())));
        }
        picked
    }
}
