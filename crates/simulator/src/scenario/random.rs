//! Random scenarios from a seed. A new seed gives a scenario for which the algorithm has not been tuned.

use std::f64::consts::PI;

use rand::{RngExt as _, SeedableRng as _};
use rand_distr::{Distribution as _, Exp1, StandardNormal};

use super::{Scenario, Source};
use crate::cluster::{Balancing, ClusterSpec, Goal, Slow};
use crate::traffic::Traffic;

pub use crate::cluster::Random;
pub use crate::quantity::to_u32_saturating;

/// Maximum arrival rate, in requests per second.
const MAX_RATE: f64 = 900.0;

/// Returns a random cluster under a random load of one of eight families.
///
/// Service times are 30 ms to 2.5 s, pods have 1 to 8 workers, targets are 0.1 to 2 service times, and the average load
/// needs one to twenty pods. Any load balancing occurs. The same seed always gives the same scenario, so that a finding
/// can be reproduced.
pub fn random_scenario(seed: u64) -> Scenario {
    let mut random = Random::seed_from_u64(seed.wrapping_mul(0x2545_F491_4F6C_DD1D) ^ 77);
    let random = &mut random;
    let seconds = if random.random_bool(0.5) { 3600 } else { 7200 };
    let service = log_uniform(random, 0.03, 2.5);
    let workers = pick(random, &[1_u32, 2, 4, 4, 8]);
    let target = pick(random, &[0.1, 0.2, 0.5, 0.5, 1.0, 2.0]) * service;
    let balancing = pick(
        random,
        &[
            Balancing::Random,
            Balancing::Random,
            Balancing::LeastOutstanding,
            Balancing::TwoChoices,
        ],
    );
    let cv = pick(random, &[0.3, 0.5, 1.0, 1.0, 1.5]);
    let delays = [
        (30.0, 120.0),
        (30.0, 120.0),
        (60.0, 60.0),
        (10.0, 30.0),
        (60.0, 240.0),
    ];
    let start_delay = pick(random, &delays);
    let queue = pick(random, &[100, 1000, 1000]);
    let speeds = pick(random, &[0.0, 0.0, 0.0, 0.2]);
    let pods = log_uniform(random, 1.0, 20.0);
    let base = (pods * f64::from(workers) / service).min(300.0);
    let family = random.random_range(0..8_i32);
    let shape = shape(family, seconds, random);
    let needed = base * service / f64::from(workers);
    let slow = if family == 7 || random.random_bool(0.15) {
        changed_service(random.random_range(0..4_usize), seconds)
    } else {
        Vec::new()
    };
    let rates = shape.iter().map(|factor| (factor * base).min(MAX_RATE));
    let load = crate::traffic::Load::random(seed);
    Scenario {
        name: format!(
            "random {seed}: {}",
            FAMILIES[usize::try_from(family).unwrap_or(7)]
        ),
        cluster: ClusterSpec {
            traffic: Traffic::Rates(rates.collect()),
            service,
            cv,
            workers,
            queue,
            balancing,
            start_delay,
            speeds,
            pods: to_u32_saturating((needed * 1.5).ceil().max(1.0)),
            goal: Goal {
                target,
                min: 1,
                max: to_u32_saturating((needed * 8.0).max(12.0)).min(200),
            },
            slow,
            ..ClusterSpec::default()
        },
        source: Source::Load(load),
        start: None,
        unknown: Vec::new(),
        assumed: Vec::new(),
    }
}

/// Returns the arrival rates of the random scenario with this seed.
pub(crate) fn random_rates(seed: u64) -> Vec<f64> {
    match random_scenario(seed).cluster.traffic {
        Traffic::Rates(rates) => rates,
        Traffic::Counts(_) => Vec::new(),
    }
}

const FAMILIES: [&str; 8] = [
    "a noisy sine",
    "levels that change at random times",
    "slopes between random levels",
    "two levels in turn",
    "spikes, regular or not",
    "the sum of heavy-tailed sources",
    "a random walk",
    "an even load, and another service time",
];

/// Returns one value per second, around 1.
fn shape(family: i32, seconds: usize, random: &mut Random) -> Vec<f64> {
    match family {
        0 => noisy_sine(seconds, random),
        1 => levels(seconds, random),
        2 => slopes(seconds, random),
        3 => two_levels(seconds, random),
        4 => spikes(seconds, random),
        5 => heavy_tails(seconds, random),
        6 => walk(seconds, random),
        _ => vec![1.0; seconds],
    }
}

fn noisy_sine(seconds: usize, random: &mut Random) -> Vec<f64> {
    let period = random.random_range(900.0..7200.0);
    let amplitude = random.random_range(0.2..0.9);
    let deviation: f64 = random.random_range(0.05..0.35);
    let memory: f64 = random.random_range(5.0..60.0);
    let kept = (-1.0 / memory).exp();
    let mut noise = 0.0;
    let at = |second: usize| {
        noise = noise * kept + deviation * (1.0 - kept * kept).sqrt() * normal(random);
        let sine = 1.0 + amplitude * (2.0 * PI * second as f64 / period).sin();
        sine * (noise - deviation * deviation / 2.0).exp()
    };
    (0..seconds).map(at).collect()
}

fn levels(seconds: usize, random: &mut Random) -> Vec<f64> {
    let mut level = 1.0;
    let mut next: f64 = random.random_range(300.0..900.0);
    let at = |second: usize| {
        if second as f64 > next {
            level = (0.7 * normal(random)).exp();
            next = second as f64 + 60.0 + 600.0 * exponential(random);
        }
        level
    };
    (0..seconds).map(at).collect()
}

fn slopes(seconds: usize, random: &mut Random) -> Vec<f64> {
    let (mut from, mut to) = (1.0, 1.0);
    let (mut began, mut ends): (f64, f64) = (0.0, random.random_range(200.0..600.0));
    let at = |second: usize| {
        if second as f64 >= ends {
            from = to;
            to = (0.8 * normal(random)).exp();
            began = ends;
            ends += random.random_range(60.0..900.0);
        }
        from + (to - from) * (second as f64 - began) / (ends - began)
    };
    (0..seconds).map(at).collect()
}

fn two_levels(seconds: usize, random: &mut Random) -> Vec<f64> {
    let high = random.random_range(1.5..4.0);
    let low_lasts = random.random_range(60.0..900.0);
    let high_lasts = random.random_range(30.0..600.0);
    let mut up = false;
    let mut next = low_lasts * exponential(random);
    let at = |second: usize| {
        if second as f64 > next {
            up = !up;
            let lasts = if up { high_lasts } else { low_lasts };
            next = second as f64 + lasts * exponential(random);
        }
        if up { high } else { 1.0 }
    };
    (0..seconds).map(at).collect()
}

fn spikes(seconds: usize, random: &mut Random) -> Vec<f64> {
    let high = random.random_range(2.0..6.0);
    let length = random.random_range(20..300_usize);
    let period: f64 = random.random_range(400.0..1500.0);
    let regular = random.random_bool(0.5);
    let mut load = vec![1.0; seconds];
    let mut next = period;
    loop {
        let begin = to_u32_saturating(next) as usize;
        if begin >= seconds {
            return load;
        }
        load[begin..(begin + length).min(seconds)].fill(high);
        next += if regular {
            period * (1.0 + 0.02 * normal(random))
        } else {
            length as f64 + period * exponential(random)
        };
    }
}

fn heavy_tails(seconds: usize, random: &mut Random) -> Vec<f64> {
    let sources = random.random_range(5..40_i32);
    let mut active = vec![0.0; seconds];
    for _ in 0..sources {
        let mut second = 0;
        let mut on = random.random_bool(0.4);
        while second < seconds {
            // Pareto distribution: most durations are short, a few are very long.
            let lasts = 10.0 * (1.0 - random.random::<f64>()).powf(-1.0 / 1.4);
            let lasts = to_u32_saturating(lasts.min(1800.0)) as usize + 1;
            if on {
                for entry in &mut active[second..(second + lasts).min(seconds)] {
                    *entry += 1.0;
                }
            }
            second += if on { lasts } else { lasts * 2 };
            on = !on;
        }
    }
    let mean = active.iter().sum::<f64>() / seconds as f64;
    let load = active
        .iter()
        .map(|active| 0.2 + 0.8 * active / mean.max(0.1));
    load.collect()
}

fn walk(seconds: usize, random: &mut Random) -> Vec<f64> {
    let deviation = random.random_range(0.1..0.5);
    let mut logarithm: f64 = 0.0;
    let at = |second: usize| {
        if second.is_multiple_of(30) {
            logarithm += deviation * 0.15 * normal(random) - 0.002 * logarithm;
        }
        logarithm.exp().clamp(0.1, 8.0)
    };
    (0..seconds).map(at).collect()
}

fn changed_service(kind: usize, seconds: usize) -> Vec<Slow> {
    let slow = |when, factor| Slow { when, factor };
    match kind {
        0 => vec![slow(1501..2700, 2.0)],
        1 => vec![slow(1001..seconds, 1.5)],
        2 => vec![slow(1001..2000, 0.5)],
        _ => (300..seconds)
            .step_by(600)
            .map(|from| slow(from..(from + 300).min(seconds), 1.5))
            .collect(),
    }
}

/// Picks one of the values.
pub fn pick<T: Copy>(random: &mut Random, from: &[T]) -> T {
    from[random.random_range(0..from.len())]
}

/// Returns a number between the two, whose logarithm is distributed uniformly.
pub fn log_uniform(random: &mut Random, least: f64, most: f64) -> f64 {
    random.random_range(least.ln()..most.ln()).exp()
}

/// Returns a number of the normal distribution with mean 0 and deviation 1.
pub fn normal(random: &mut Random) -> f64 {
    StandardNormal.sample(random)
}

/// Returns a number of the exponential distribution with mean 1.
pub fn exponential(random: &mut Random) -> f64 {
    Exp1.sample(random)
}
