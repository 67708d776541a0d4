//! All pods of a cluster: made, removed, broken.

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
    /// In the order in which they were made.
    pub(super) pods: Vec<Pod>,
    made: u64,
    /// Pods made from now on that will never serve.
    broken: u32,
    /// Pods made after the beginning.
    pub(super) starts: u64,
    /// Requests that went with their pods.
    pub(super) lost: u64,
}

impl Fleet {
    /// The pods of the beginning.
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
            pod.begin(0.0);
        }
        fleet
    }

    fn make(&mut self, world: &World, now: f64, random: &mut Random) {
        // Both are drawn for every pod: what is drawn for the next one must not depend on the settings.
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
        self.pods
            .push(Pod::new(self.made, world.workers, now, ready_at, speed));
    }

    /// Pods whose time has come serve from now on.
    pub(super) fn begin(&mut self, now: f64) {
        for pod in &mut self.pods {
            if pod.state == PodState::Starting && pod.ready_at <= now {
                pod.begin(now);
            }
        }
    }

    /// As many pods as are wanted, those that drain apart. Of too many, those that start go first, then the youngest:
    /// as a ReplicaSet does it.
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

    /// Pods that have drained are gone.
    pub(super) fn bury(&mut self) {
        self.pods
            .retain(|pod| pod.state != PodState::Draining || pod.in_system() > 0);
    }

    /// What breaks in this second, breaks. All pods must be settled up to now.
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

    /// So many serving pods, or all of them if there are fewer, by chance.
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
