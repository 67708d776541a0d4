//! Measures the duration of a simulation.

use std::path::Path;
use std::time::Instant;

use pushscale_simulator::cluster::{ClusterSpec, Goal, simulate};
use pushscale_simulator::control::PushScaling;
use pushscale_simulator::traffic::{Traffic, read_trace};
use pushscale_tests::reference_model;

use crate::spread::Spread;

const SECONDS: usize = 4 * 3600;

const RUNS: u64 = 9;

/// Prints the seconds for four simulated hours, from reading the trace to the metrics.
pub(crate) fn run() {
    let spec = spec();
    println!(
        "  4 h at {:.0} requests/s, target 50 ms, one core; seconds: min / median / mean / max",
        spec.traffic.requests() / SECONDS as f64
    );
    let took = (1..=RUNS).map(|seed| {
        let start = Instant::now();
        let spec = self::spec();
        let mut ours = PushScaling::of_cluster(&spec).unwrap();
        let outcome = simulate(&spec, &mut ours, seed);
        assert!(outcome.completed > 1_000_000);
        start.elapsed().as_secs_f64()
    });
    println!("  pushscale: {:.3}", Spread::of(took.collect()));
    for word in ["qm2", "kpa", "hpa", "fixed:4"] {
        let took = (1..=RUNS).map(|seed| {
            let start = Instant::now();
            let spec = self::spec();
            let mut controller = reference_model::controller(word, &spec);
            simulate(&spec, controller.as_mut(), seed);
            start.elapsed().as_secs_f64()
        });
        println!("  {word}: {:.3}", Spread::of(took.collect()));
    }
}

/// The sum of two traces, and pods of four workers with a service time of 100 ms.
fn spec() -> ClusterSpec {
    let traces = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/simulator/traces");
    let read = |name: &str| match read_trace(&traces.join(name)).unwrap().traffic {
        Traffic::Counts(counts) => counts,
        Traffic::Rates(_) => panic!("{name} has no counts"),
    };
    let (small, mid) = (
        read("servegen_m-small_8h.csv"),
        read("servegen_m-mid_day.csv"),
    );
    let sums = small.iter().zip(&mid).map(|(one, other)| one + other);
    ClusterSpec {
        traffic: Traffic::Counts(sums.take(SECONDS).collect()),
        pods: 4,
        goal: Goal {
            target: 0.05,
            min: 1,
            max: 80,
        },
        ..ClusterSpec::default()
    }
}
