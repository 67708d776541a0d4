//! Random scenarios of families that are only for measuring: no constant of the algorithm was chosen with them.

use std::f64::consts::PI;

use pushscale_simulator::cluster::{Balancing, ClusterSpec, Goal};
use pushscale_simulator::scenario::random::{
    Random, exponential, log_uniform, normal, pick, to_u32_saturating,
};
use pushscale_simulator::scenario::{Scenario, Source};
use pushscale_simulator::traffic::Traffic;
use rand::{RngExt as _, SeedableRng as _};

/// About how many requests a run has at most: a shorter service time has a smaller fleet.
const REQUESTS: f64 = 2e7;

const WEEK: usize = 7 * 86_400;

type Shape = fn(usize, &mut Random) -> Vec<f64>;

/// The families. A shape has one value per second, around 1, and its times are shares of the duration.
const FAMILIES: [(&str, Shape); 7] = [
    ("bursts after silence", bursts_after_silence),
    ("a sawtooth", sawtooth),
    ("flash crowds that decay", flash_crowds),
    ("stairs up and down", stairs),
    ("correlated noise", correlated_noise),
    ("batch jobs at random times", batch_jobs),
    ("a week", week),
];

/// Returns a random cluster under a random load. Consecutive seeds have different families, and every second turn of
/// them has shared start delays.
///
/// Service times are 1 ms to 10 min and start delays 5 s to 15 min, log-uniform, pods have 1 to 8 workers, targets are
/// 0.1 to 2 service times, and the average load needs one to twenty pods. A run lasts two to ten hours, or a week.
/// The same seed always gives the same scenario.
pub fn held_out_scenario(seed: u64) -> Scenario {
    let mut random = Random::seed_from_u64(seed.wrapping_mul(0x2545_F491_4F6C_DD1D) ^ 1177);
    let random = &mut random;
    let family = usize::try_from(seed).unwrap_or_default() % FAMILIES.len();
    let (name, shape) = FAMILIES[family];
    let shared = usize::try_from(seed).unwrap_or_default() / FAMILIES.len() % 2 == 1;
    let service = log_uniform(random, 1e-3, 600.0);
    let least = log_uniform(random, 5.0, 900.0);
    let most = (least * random.random_range(1.0..3.0)).min(900.0);
    let lasts = (40.0 * least).max(60.0 * service).max(7200.0);
    let seconds = if name == "a week" {
        WEEK
    } else {
        to_u32_saturating(lasts) as usize
    };
    let mut spec = ClusterSpec {
        service,
        cv: pick(random, &[0.5, 1.0, 1.0, 1.5]),
        workers: random.random_range(1..=8),
        queue: pick(random, &[100, 1000]),
        balancing: pick(
            random,
            &[
                Balancing::Random,
                Balancing::LeastOutstanding,
                Balancing::TwoChoices,
            ],
        ),
        start_delay: (least, most),
        start_round: if shared { least } else { 0.0 },
        goal: Goal {
            target: log_uniform(random, 0.1, 2.0) * service,
            min: 1,
            max: u32::MAX,
        },
        ..ClusterSpec::default()
    };
    let pods = log_uniform(random, 1.0, 20.0);
    let base = (pods * spec.requests_per_pod()).min(REQUESTS / seconds as f64);
    let rates: Vec<f64> = shape(seconds, random)
        .iter()
        .map(|factor| factor * base)
        .collect();
    spec.pods = to_u32_saturating((rates[0] / spec.requests_per_pod()).ceil()).max(1);
    spec.traffic = Traffic::Rates(rates);
    spec.goal.max = (4 * spec.need()).max(10);
    let starts = if shared { "shared" } else { "own" };
    let name = format!("{name} ({seed}), {starts} start delays");
    Scenario {
        source: Source::Record {
            name: name.clone(),
            skip: 0,
        },
        name,
        cluster: spec,
        start: None,
        unknown: Vec::new(),
        assumed: Vec::new(),
    }
}

/// No requests at all for a while, then many.
fn bursts_after_silence(seconds: usize, random: &mut Random) -> Vec<f64> {
    let (off, on) = (seconds as f64 / 15.0, seconds as f64 / 30.0);
    let (mut high, mut ends) = (1.0, on);
    let mut active = true;
    let at = |second: usize| {
        if second as f64 >= ends {
            active = !active;
            high = random.random_range(1.0..4.0);
            ends += exponential(random) * if active { on } else { off };
        }
        if active { high } else { 0.0 }
    };
    (0..seconds).map(at).collect()
}

/// A slow rise and a sudden fall, or the reverse.
fn sawtooth(seconds: usize, random: &mut Random) -> Vec<f64> {
    let period = seconds as f64 / random.random_range(3.0..15.0);
    let (low, high) = (random.random_range(0.1..0.5), random.random_range(1.5..4.0));
    let rises = random.random_bool(0.5);
    let at = |second: usize| {
        let share = (second as f64 / period).fract();
        low + (high - low) * if rises { share } else { 1.0 - share }
    };
    (0..seconds).map(at).collect()
}

/// Sudden crowds, three to ten times the load, that leave exponentially.
fn flash_crowds(seconds: usize, random: &mut Random) -> Vec<f64> {
    let mean_distance = seconds as f64 / random.random_range(2.0..6.0);
    let decay = seconds as f64 / random.random_range(15.0..60.0);
    let (mut crowd, mut next) = (0.0, mean_distance * exponential(random));
    let at = |second: usize| {
        if second as f64 >= next {
            crowd += random.random_range(2.0..9.0);
            next += mean_distance * exponential(random);
        }
        crowd *= (-1.0 / decay).exp();
        0.7 + crowd
    };
    (0..seconds).map(at).collect()
}

/// Equal steps up to a peak and down again, once or several times.
fn stairs(seconds: usize, random: &mut Random) -> Vec<f64> {
    let steps = f64::from(random.random_range(2..=8));
    let period = seconds as f64 / f64::from(random.random_range(1..=4));
    let high = random.random_range(2.0..6.0);
    let at = |second: usize| {
        let share = (second as f64 / period).fract();
        // From 0 to 1 and back within a period.
        let height = 1.0 - (2.0 * share - 1.0).abs();
        0.3 + (high - 0.3) * (height * (steps + 1.0)).floor().min(steps) / steps
    };
    (0..seconds).map(at).collect()
}

/// An autoregressive process around an even load, whose memory is a minute to a tenth of the duration.
fn correlated_noise(seconds: usize, random: &mut Random) -> Vec<f64> {
    let memory = log_uniform(random, 60.0, seconds as f64 / 10.0);
    let deviation: f64 = random.random_range(0.2..0.7);
    let kept = (-1.0 / memory).exp();
    let mut noise = 0.0;
    let at = |_| {
        noise = noise * kept + deviation * (1.0 - kept * kept).sqrt() * normal(random);
        (noise - deviation * deviation / 2.0).exp()
    };
    (0..seconds).map(at).collect()
}

/// Jobs that send requests at a constant rate for a while, in addition to an even load.
fn batch_jobs(seconds: usize, random: &mut Random) -> Vec<f64> {
    let mut load = vec![0.4; seconds];
    let mean_distance = seconds as f64 / random.random_range(8.0..30.0);
    let mut begin = mean_distance * exponential(random);
    while begin < seconds as f64 {
        let height = (0.7 * normal(random)).exp();
        let end = begin + seconds as f64 / 40.0 * exponential(random);
        let from = to_u32_saturating(begin) as usize;
        for value in &mut load[from..(to_u32_saturating(end) as usize + 1).min(seconds)] {
            *value += height;
        }
        begin += mean_distance * exponential(random);
    }
    load
}

/// Seven days with two peaks each, of which two are weekend days with less load, and noise.
fn week(seconds: usize, random: &mut Random) -> Vec<f64> {
    let weekend = random.random_range(0.2..0.8);
    let night = random.random_range(0.05..0.4);
    let first = random.random_range(0..7_usize);
    let noise = correlated_noise(seconds, random);
    let at = |(second, noise): (usize, f64)| {
        let hour = (second % 86_400) as f64 / 3600.0;
        let peak = |at: f64, width: f64| (-((hour - at) / width).powi(2)).exp();
        let day = if (first + second / 86_400) % 7 < 5 {
            1.0
        } else {
            weekend
        };
        let sun = 0.5 - 0.5 * (2.0 * PI * hour / 24.0).cos();
        let load = night + day * (0.6 * sun + 0.9 * peak(10.0, 2.0) + 1.1 * peak(20.0, 1.5));
        load * noise.powf(0.3)
    };
    noise.into_iter().enumerate().map(at).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scenarios_are_reproducible_and_cover_all_families() {
        let names: Vec<String> = (0..14)
            .map(|seed| {
                let scenario = held_out_scenario(seed);
                assert_eq!(scenario, held_out_scenario(seed));
                let spec = &scenario.cluster;
                let Traffic::Rates(rates) = &spec.traffic else {
                    panic!("the load is random");
                };
                let mean = rates.iter().sum::<f64>() / rates.len() as f64;
                assert!(rates.iter().all(|rate| *rate >= 0.0 && rate.is_finite()));
                assert!(mean > 0.0 && spec.traffic.requests() < 5.0 * REQUESTS);
                assert!(spec.need() < spec.goal.max);
                scenario.name
            })
            .collect();
        for (family, _) in FAMILIES {
            let of_family: Vec<&String> =
                names.iter().filter(|name| name.contains(family)).collect();
            assert_eq!(of_family.len(), 2, "{family}");
            let shared = of_family.iter().filter(|name| name.contains("shared"));
            assert_eq!(shared.count(), 1, "{family}");
        }
    }
}
