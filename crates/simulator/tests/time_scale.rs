//! The same queueing problem in different units of time takes the same pods.

#![cfg(test)]

use pushscale_simulator::cluster::{ClusterSpec, simulate};
use pushscale_simulator::control::PushScaling;
use pushscale_simulator::in_parallel;
use pushscale_simulator::scenario::Draft;

const SERVICES: [f64; 5] = [0.1, 1.0, 10.0, 60.0, 300.0];

/// Workers per pod, and the mean pods that are allowed, as a multiple of the need.
///
/// With four workers the need is 3.35 pods, so four. 20 requests arrive within four targets, but 29, which four pods do
/// not serve in time for long, by chance in 3% of the seconds. The backtest counts those as violations and keeps a pod
/// or two of head-room: 1.0 times the need at 0.1 s, where a second is ten service times, and 1.14 to 1.38 from 0.3 to
/// 300 s (three seeds). Over at least ten service times it is 0.98 to 1.16, but then the shared and the random
/// scenarios have 144 and 274 more violation seconds for 13.8 and 16.5 pod-hours: 0.6 to 1.0 for 10 s, where 2 to 4 are
/// neutral (docs/RULES.md). Over the time of 30 requests they have 46 and 190 more for 4.4 and 4.7, and it is still
/// 1.29.
const FLEETS: [(u32, f64); 2] = [(1, 1.2), (4, 1.4)];

const SEEDS: usize = 2;

/// The largest ratio of the mean pods at two service times. With one worker it is 1.09. With four workers it is 1.10
/// from 1 s on, and 1.36 if 0.1 s is included, where the fleet takes no head-room.
const MOST_APART: f64 = 1.2;

fn spec(text: &str) -> ClusterSpec {
    let mut draft = Draft::default();
    draft.add_text("the-test.txt", text, None);
    draft.finish(&[]).unwrap().cluster
}

#[test]
fn the_need_does_not_depend_on_the_time_scale() {
    let means = in_parallel(
        SERVICES.len() * FLEETS.len() * SEEDS,
        &|job| {
            let (run, seed) = (job / SEEDS, 1 + (job % SEEDS) as u64);
            let service = SERVICES[run % SERVICES.len()];
            let (workers, most) = FLEETS[run / SERVICES.len()];
            let text = format!(
                "name: ten busy workers\nload: flat:{}\nseconds: 28800\nservice: {service}s\nworkers: {workers}\n\
                 start-delay: 60s\npods: {}\ntarget: {}s\nmax: 500\n",
                10.0 / service,
                if workers == 1 { 30 } else { 4 },
                service / 2.0
            );
            let spec = spec(&text);
            let outcome = simulate(&spec, &mut PushScaling::of_cluster(&spec).unwrap(), seed);
            let mean = outcome.pod_hours / 8.0 / f64::from(spec.need());
            assert!(
                (0.8..=most).contains(&mean),
                "{service} s, {workers} workers, seed {seed}: {mean:.2} times the need"
            );
            mean
        },
        &mut || {},
    );
    let means: Vec<f64> = means
        .chunks(SEEDS)
        .map(|seeds| seeds.iter().sum::<f64>() / SEEDS as f64)
        .collect();
    for ((workers, _), means) in FLEETS.iter().zip(means.chunks(SERVICES.len())) {
        // With four workers, 0.1 s differs (see above).
        let means = if *workers == 1 { means } else { &means[1..] };
        let least = means.iter().copied().fold(f64::INFINITY, f64::min);
        let most = means.iter().copied().fold(0.0, f64::max);
        println!("{workers} workers: {least:.2} to {most:.2} times the need");
        assert!(
            most <= MOST_APART * least,
            "{workers} workers: {least:.2} to {most:.2} times the need"
        );
    }
}

/// The requests that complete after the load has fallen are those with a long service time. Their mean is no change of
/// the service time: with a rule that took it for one, the replicas rose by 40 to 90%, and by 20 to 40% if it only
/// counted in the mean of 300 requests.
#[test]
fn replicas_do_not_rise_when_the_load_falls() {
    let services = [1.0_f64, 10.0, 30.0, 120.0];
    let seeds = 4;
    let rises = in_parallel(
        services.len() * seeds,
        &|job| {
            let (service, seed) = (services[job / seeds], 1 + (job % seeds) as u64);
            let falls_at = 7200;
            let text = format!(
                "name: the load falls\nload: step:{}->{}@{falls_at}\nseconds: {}\nservice: {service}s\n\
                 workers: 6\npods: 30\ntarget: {}s\nmax: 300\n",
                150.0 / service,
                20.0 / service,
                9000.0 + 15.0 * service,
                service / 5.0
            );
            let spec = spec(&text);
            let mut ours = PushScaling::of_cluster(&spec).unwrap();
            let outcome = simulate(&spec, &mut ours, seed);
            let before = outcome.seconds[falls_at - 1].desired;
            let after = outcome.seconds[falls_at..].iter();
            let most = after.map(|second| second.desired).max().unwrap();
            (service, seed, before, most)
        },
        &mut || {},
    );
    for (service, seed, before, most) in rises {
        assert!(
            f64::from(most) <= 1.2 * f64::from(before),
            "{service} s, seed {seed}: {before} replicas before, {most} after"
        );
    }
}

/// With four workers the backtest keeps head-room of a pod or two (above).
#[test]
fn a_slow_model_scales_down_after_its_load_has_fallen() {
    // The rate is a mean of half an hour, and its need is held for 20 minutes at most.
    let (falls_at, scaled_down_at) = (10_800, 14_400);
    let text = format!(
        "name: a slow model\nload: step:1->0.15@{falls_at}\nseconds: 21600\nservice: 60s\nworkers: 4\n\
         start-delay: 60s\npods: 20\ntarget: 30s\nmax: 100\n"
    );
    let spec = spec(&text);
    for seed in 1..=4 {
        let outcome = simulate(&spec, &mut PushScaling::of_cluster(&spec).unwrap(), seed);
        let after = outcome.seconds[scaled_down_at..].iter();
        let most = after.map(|second| second.desired).max().unwrap();
        // Four workers keep the mean wait at half the service time while 75% of them are busy: three pods.
        assert!(most <= 6, "seed {seed}: {most} pods, 3 are needed");
    }
}
