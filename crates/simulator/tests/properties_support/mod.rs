//! The clusters of the properties, and their need by the textbook's formulas.

use pushscale_simulator::cluster::{Balancing, ClusterSpec, Goal};
use pushscale_simulator::traffic::Traffic;

/// The steady load, in requests per second.
pub(crate) const RATE: f64 = 100.0;

/// The service time in seconds.
pub(crate) const SERVICE: f64 = 0.1;

/// The maximum planned utilisation.
const MAX_UTILISATION: f64 = 0.92;

/// Balancing, workers, target divided by service time, initial pods.
pub(crate) type Setting = (Balancing, u32, f64, u32);

/// Returns all combinations of balancing, workers, targets and initial pods.
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

pub(crate) fn steady(setting: &Setting, seconds: usize) -> ClusterSpec {
    let (balancing, workers, target, pods) = *setting;
    ClusterSpec {
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
        ..ClusterSpec::default()
    }
}

/// Balancing, requests per second before the step, the factor of the step, target in seconds.
pub(crate) type Rise = (Balancing, f64, f64, f64);

/// Steps from at least 50/s to at least twice that.
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

/// Returns the second that is this many seconds after the step.
pub(crate) fn after_step(seconds: usize) -> usize {
    STEP + seconds
}

/// Returns a cluster with a step, and the arrival rate after it.
pub(crate) fn stepped(rise: &Rise) -> (ClusterSpec, f64) {
    let (balancing, low, times, target) = *rise;
    let mut rates = vec![low; STEP];
    rates.extend(vec![low * times; 900]);
    let mut spec = ClusterSpec {
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
        ..ClusterSpec::default()
    };
    spec.pods = fewest(&spec, low);
    (spec, low * times)
}

/// Returns the smallest number of pods whose mean wait meets the target, by the formulas of Erlang and of Allen and
/// Cunneen.
pub(crate) fn fewest(spec: &ClusterSpec, rate: f64) -> u32 {
    let spread = (1.0 + spec.cv * spec.cv) / 2.0;
    let fits = |pods: &u32| {
        let load = rate * spec.service;
        let (load, servers) = match spec.balancing {
            Balancing::Random => (load / f64::from(*pods), spec.workers),
            _ => (load, spec.workers * pods),
        };
        let rho = load / f64::from(servers);
        rho <= MAX_UTILISATION
            && spread * waiting_share(load, servers) * spec.service / (f64::from(servers) - load)
                <= spec.goal.target
    };
    (1..10_000).find(fits).unwrap()
}

/// Returns the share of requests that wait (Erlang C).
fn waiting_share(load: f64, servers: u32) -> f64 {
    let blocked = (1..=servers).fold(1.0, |blocked, server| {
        load * blocked / (f64::from(server) + load * blocked)
    });
    blocked / (1.0 - load / f64::from(servers) * (1.0 - blocked))
}
