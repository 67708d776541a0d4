//! The worlds of the properties, and what the textbook says that they need.

use pushscale_simulator::cluster::{Balancing, Goal, World};
use pushscale_simulator::traffic::Traffic;

/// The steady load, in requests a second.
pub(crate) const RATE: f64 = 100.0;

const SERVICE: f64 = 0.1;

/// Nobody plans fuller pods.
const FULLEST: f64 = 0.92;

/// Balancing, workers, target over service time, pods at the beginning.
pub(crate) type Setting = (Balancing, u32, f64, u32);

/// Targets, workers, balancing and sizes to begin with.
pub(crate) fn settings() -> Vec<Setting> {
    let mut settings = Vec::new();
    for balancing in [Balancing::Random, Balancing::LeastOutstanding] {
        for workers in [1, 2, 4, 8] {
            for target in [0.1, 0.5, 1.0, 3.0] {
                settings.extend([1, 6, 20].map(|pods| (balancing, workers, target, pods)));
            }
        }
    }
    settings
}

pub(crate) fn steady(setting: &Setting, seconds: usize) -> World {
    let (balancing, workers, target, pods) = *setting;
    World {
        traffic: Traffic::Rates(vec![RATE; seconds]),
        service: SERVICE,
        workers,
        balancing,
        pods,
        goal: Goal {
            target: target * SERVICE,
            min: 1,
            max: 200,
        },
        ..World::default()
    }
}

/// Balancing, requests a second before, times so many after, target in seconds.
pub(crate) type Rise = (Balancing, f64, f64, f64);

/// From 50/s on and to the double and more.
pub(crate) const MIXTURE: [Rise; 10] = [
    (Balancing::Random, 50.0, 2.0, 0.05),
    (Balancing::Random, 50.0, 4.0, 0.05),
    (Balancing::Random, 100.0, 2.0, 0.05),
    (Balancing::Random, 100.0, 4.0, 0.1),
    (Balancing::Random, 200.0, 2.0, 0.2),
    (Balancing::LeastOutstanding, 50.0, 2.0, 0.05),
    (Balancing::LeastOutstanding, 50.0, 4.0, 0.05),
    (Balancing::LeastOutstanding, 100.0, 2.0, 0.05),
    (Balancing::LeastOutstanding, 100.0, 4.0, 0.05),
    (Balancing::LeastOutstanding, 200.0, 2.0, 0.2),
];

const STEP: usize = 900;

/// The second that is so many after the step.
pub(crate) fn after_step(seconds: usize) -> usize {
    STEP + seconds
}

/// A world with a step, and the load after it.
pub(crate) fn stepped(rise: &Rise) -> (World, f64) {
    let (balancing, low, times, target) = *rise;
    let mut rates = vec![low; STEP];
    rates.extend(vec![low * times; 900]);
    let mut world = World {
        traffic: Traffic::Rates(rates),
        service: SERVICE,
        // With TorchServe's default of 100, two thirds of the ordered pods are cancelled: the backlog that the forecast
        // expects never exists. See `scenarios/hostile/short-queue.txt`.
        queue: 1000,
        balancing,
        goal: Goal {
            target,
            min: 1,
            max: 200,
        },
        ..World::default()
    };
    world.pods = fewest(&world, low);
    (world, low * times)
}

/// The fewest pods whose requests wait no longer than the target on average, by Erlang and Allen-Cunneen.
pub(crate) fn fewest(world: &World, rate: f64) -> u32 {
    let spread = (1.0 + world.cv * world.cv) / 2.0;
    let fits = |pods: &u32| {
        let load = rate * world.service;
        let (load, servers) = match world.balancing {
            Balancing::Random => (load / f64::from(*pods), world.workers),
            _ => (load, world.workers * pods),
        };
        let rho = load / f64::from(servers);
        rho <= FULLEST
            && spread * waiting_share(load, servers) * world.service / (f64::from(servers) - load)
                <= world.goal.target
    };
    (1..10_000).find(fits).unwrap()
}

/// Erlang C: the share of requests that wait at all.
fn waiting_share(load: f64, servers: u32) -> f64 {
    let blocked = (1..=servers).fold(1.0, |blocked, server| {
        load * blocked / (f64::from(server) + load * blocked)
    });
    blocked / (1.0 - load / f64::from(servers) * (1.0 - blocked))
}
