//! Measures the cost of a scale-down: pods terminate under a steady load of 45% of the capacity of the others, with the
//! drain of the shipped example, and without it at the same time. Lost requests are counted at the client, which opens
//! a new connection for each.

use std::thread;

use pushscale_tests::fleet::{self, Fleet};
use pushscale_tests::repeated_scale_down::{
    LOAD_SHARE, PODS, ScaleDownReport, fleet_options, scale_down_repeatedly,
};
use pushscale_tests::test_cluster::{Shape, TestCluster};

use crate::environment::{number, torchserve_on_a_node};
use crate::spread::Spread;

/// Overridden by PUSHSCALE_BENCH_RUNS.
const TIMES: u32 = 50;

/// Prints lost requests, and the duration of the drains.
pub(crate) fn run() {
    let Some(torchserve) = torchserve_on_a_node() else {
        return;
    };
    let cluster = TestCluster::start(Shape::Node).unwrap();
    fleet::install(&cluster);
    let times = number("PUSHSCALE_BENCH_RUNS").unwrap_or(TIMES);
    let (cluster, torchserve) = (&cluster, &torchserve);
    let run = |name: &str, drain: bool| {
        let fleet = Fleet::create(cluster, torchserve, name, &fleet_options(drain));
        let report = scale_down_repeatedly(cluster, &fleet, times);
        fleet.delete();
        report
    };
    // At the same time, so that a slow phase of the machine affects both.
    let (with, without) = thread::scope(|both| {
        let with = both.spawn(|| run("drained", true));
        let without = both.spawn(|| run("undrained", false));
        (with.join().unwrap(), without.join().unwrap())
    });
    println!(
        "  {times} scale-downs from {PODS} to {} pods at {:.0}% of the capacity of {0}:",
        PODS - 1,
        LOAD_SHARE * 100.0
    );
    print_row("with the drain", &with, times);
    print_row("without it", &without, times);
    let took = numbers(&with, "after ");
    let arrived = numbers(&with, "arrived after ");
    println!(
        "  drains, min / median / mean / max: {:.1} s",
        Spread::of(took)
    );
    println!(
        "  the last request arrived, from the start of the drain: {:.1} s ({} of {} pods had one)",
        Spread::of(arrived.clone()),
        arrived.len(),
        with.drains.len()
    );
}

fn print_row(what: &str, report: &ScaleDownReport, times: u32) {
    let loaded = &report.loaded;
    println!(
        "  {what}: {:.1} requests/s, {} of {} lost ({:.2} a scale-down) {:?}",
        report.rate,
        loaded.count_lost(),
        loaded.sent,
        loaded.count_lost() as f64 / f64::from(times),
        loaded.lost
    );
}

/// Returns the number after this word in the last line of each drain.
fn numbers(report: &ScaleDownReport, word: &str) -> Vec<f64> {
    let after = |line: &String| {
        let (_, rest) = line.split_once(word)?;
        rest.split_whitespace().next()?.parse().ok()
    };
    report.drains.iter().filter_map(after).collect()
}
