//! What a scale-down costs: pods end under a steady load of 70 % of what the others bear, with the shipped example's
//! drain and, beside it, without. Counted at the client, a new connection for each request.

use std::thread;

use pushscale_api::Algorithm;
use pushscale_tests::fleet::{self, Fleet, FleetOptions};
use pushscale_tests::repeated_scale_down::{PODS, RATE, Shrunk, shrink};
use pushscale_tests::test_cluster::{Shape, TestCluster};

use crate::spread::Spread;

/// Overridden by PUSHSCALE_BENCH_RUNS.
const TIMES: u32 = 50;

/// Prints requests lost, and how long the drains took.
pub(crate) fn run() {
    if !Shape::Node.available() {
        println!("  NOT MEASURED: it takes root and network namespaces");
        return;
    }
    let Some(torchserve) = fleet::local_torchserve() else {
        println!("  NOT MEASURED: it takes Java and Python");
        return;
    };
    let cluster = TestCluster::start(Shape::Node).unwrap();
    fleet::install(&cluster);
    let times = std::env::var("PUSHSCALE_BENCH_RUNS");
    let times = times.map_or(TIMES, |times| times.parse().unwrap());
    let (cluster, torchserve) = (&cluster, &torchserve);
    let run = |name: &str, drain: bool| {
        let options = FleetOptions {
            replicas: PODS,
            drain,
            loaded: true,
            ..FleetOptions::by(Algorithm::Ratio)
        };
        let fleet = Fleet::create(cluster, torchserve, name, &options);
        let shrunk = shrink(cluster, &fleet, times);
        fleet.delete();
        shrunk
    };
    // Side by side, so that a slow minute of the machine is both's.
    let (with, without) = thread::scope(|both| {
        let with = both.spawn(|| run("drained", true));
        let without = both.spawn(|| run("undrained", false));
        (with.join().unwrap(), without.join().unwrap())
    });
    println!(
        "  {times} scale-downs from {PODS} to {} pods at {RATE} requests/s:",
        PODS - 1
    );
    tell("with the drain", &with, times);
    tell("without it", &without, times);
    let took = numbers(&with, "after ");
    let came = numbers(&with, "came ");
    println!(
        "  drains, min / median / mean / max: {:.1} s",
        Spread::of(took)
    );
    println!(
        "  the last request came, from the drain's begin: {:.1} s ({} of {} pods had one)",
        Spread::of(came.clone()),
        came.len(),
        with.drains.len()
    );
}

fn tell(what: &str, shrunk: &Shrunk, times: u32) {
    let loaded = &shrunk.loaded;
    println!(
        "  {what}: {} of {} requests lost ({:.2} a scale-down) {:?}",
        loaded.count_lost(),
        loaded.sent,
        loaded.count_lost() as f64 / f64::from(times),
        loaded.lost
    );
}

/// The number after this word in each drain's last line.
fn numbers(shrunk: &Shrunk, word: &str) -> Vec<f64> {
    let after = |line: &String| {
        let (_, rest) = line.split_once(word)?;
        rest.split_whitespace().next()?.parse().ok()
    };
    shrunk.drains.iter().filter_map(after).collect()
}
