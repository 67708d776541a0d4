//! The load step that was measured with Prometheus, its adapter and the HPA, on a real node: 2 requests/s, then at a
//! random time 25 requests/s, a new connection for each, to TorchServe pods of one worker and 100 ms service time; min
//! 1, max 5, no `behavior`. `Ratio` runs with the target of that measurement, 7 ms, plain and with TLS and tokens. The
//! queueing model runs with 100 ms, at which one pod has the capacity for 2 requests/s.

pub(crate) mod autoscalers;
mod watch;

use std::fs;
use std::path::Path;
use std::sync::mpsc;
use std::time::{SystemTime, UNIX_EPOCH};

use pushscale_api::Algorithm;
use pushscale_tests::charts::Helm;
use pushscale_tests::fleet::{self, Fleet, FleetOptions};
use pushscale_tests::test_cluster::{Shape, TestCluster};
use serde_json::{Value, json};

use crate::environment::{number, torchserve_on_a_node};
use crate::spread::Spread;
use watch::{WatchEvent, unix_times, watch};

/// Overridden by PUSHSCALE_BENCH_RUNS.
const RUNS: usize = 10;

/// Duration of the step in seconds, overridden by PUSHSCALE_BENCH_STEP. The reaction takes two seconds, but the delayed
/// requests add up over 120.
const STEP: u32 = 120;

/// A request that takes longer counts as a violation, like a failed one.
const BAD_AFTER_MS: f64 = 1000.0;

/// Prometheus, adapter and HPA on such a cluster, November 2026: name, seconds until the replicas changed, share of
/// violations.
const CLASSICAL: [(&str, f64, f64); 4] = [
    ("as published", 45.7, 0.51),
    ("query repaired", 35.1, 0.41),
    ("tuned, scrape 15 s", 18.0, 0.27),
    ("scrape 5 s", 10.6, 0.25),
];

struct Run {
    changed: f64,
    ready: f64,
    bad: f64,
    largest: i32,
}

/// Prints seconds and shares, per run and overall.
pub(crate) fn run() {
    let Some(torchserve) = torchserve_on_a_node() else {
        return;
    };
    let Some(helm) = Helm::for_test() else {
        println!("  NOT MEASURED: requires Go");
        return;
    };
    let (plain, trusting) = (
        TestCluster::start(Shape::Node).unwrap(),
        TestCluster::start(Shape::Node).unwrap(),
    );
    fleet::install(&plain);
    fleet::install_chart(&trusting, &helm, &json!({}));
    let runs = number("PUSHSCALE_BENCH_RUNS").unwrap_or(RUNS);
    let step = number("PUSHSCALE_BENCH_STEP").unwrap_or(STEP);
    let mut variants = [
        Variant::new("Model", Algorithm::Model, false),
        Variant::new("Ratio", Algorithm::Ratio, false),
        Variant::new("Ratio with TLS and tokens", Algorithm::Ratio, true),
    ];
    // In turns, so that a slow phase of the machine affects all of them.
    for number in 1..=runs {
        for variant in &mut variants {
            let cluster = if variant.trust { &trusting } else { &plain };
            let options = FleetOptions {
                behavior: Value::Null,
                token_seconds: variant.trust.then_some(3600),
                ..FleetOptions::by(variant.algorithm)
            };
            let name = format!("{:?}-{number}", variant.algorithm).to_lowercase();
            let fleet = Fleet::create(cluster, &torchserve, &name, &options);
            let result = once(cluster, &fleet, &name, step);
            println!(
                "  {}, run {number:>2}: replicas changed after {:.2} s, next pod Ready after {:.2} s, {:.1}% failed or late, {} replicas at most",
                variant.name,
                result.changed,
                result.ready,
                result.bad * 100.0,
                result.largest,
            );
            fleet.delete();
            variant.results.push(result);
        }
    }
    for variant in &variants {
        compare(variant, step);
    }
    let [_, plain, trusting] = &variants;
    let ratio = trusting.changed().mean() / plain.changed().mean();
    println!("  with TLS and tokens {ratio:.2} × the mean time to changed replicas without");
}

/// A configuration and its results.
struct Variant {
    name: &'static str,
    algorithm: Algorithm,
    trust: bool,
    results: Vec<Run>,
}

impl Variant {
    fn new(name: &'static str, algorithm: Algorithm, trust: bool) -> Self {
        Self {
            name,
            algorithm,
            trust,
            results: Vec::new(),
        }
    }

    fn changed(&self) -> Spread {
        self.of(|run| run.changed)
    }

    fn of(&self, figure: fn(&Run) -> f64) -> Spread {
        Spread::of(self.results.iter().map(figure).collect())
    }
}

fn compare(variant: &Variant, step: u32) {
    let changed = variant.changed();
    let bad = variant.of(|run| run.bad * 100.0);
    let runs = variant.results.len();
    println!(
        "  {}, over {runs} runs, min / median / mean / max:",
        variant.name
    );
    println!("  spec.replicas changed   {changed:.2} s");
    println!(
        "  next pod Ready          {:.2} s",
        variant.of(|run| run.ready)
    );
    println!("  failed or over 1 s      {bad:.1} % of the requests of {step} s");
    if step != STEP {
        return;
    }
    for (name, seconds, share) in CLASSICAL {
        println!(
            "  Prometheus, adapter and HPA, {name} (recorded on such a cluster): {seconds} s, {:.0}%: {:.0} × ours, {:.1} × ours",
            share * 100.0,
            seconds / changed.mean(),
            share * 100.0 / bad.mean()
        );
    }
}

fn once(cluster: &TestCluster, fleet: &Fleet<'_>, name: &str, seconds: u32) -> Run {
    let (seen_tx, seen_rx) = mpsc::channel();
    watch(cluster, fleet.namespace(), seen_tx);
    // At a random time within the scrape interval, which is not in phase with this clock.
    let phase = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .subsec_nanos();
    let before = 10.0 + f64::from(phase % 1000) / 1000.0;
    let directory = cluster.logs_dir();
    let (mark, csv) = (
        directory.join(format!("mark-{name}")),
        directory.join(format!("load-{name}.csv")),
    );
    let url = format!("http://{}/predictions/sleepy", fleet.address());
    let mut load = cluster
        .command(pushscale_tests::programs::load().to_str().unwrap())
        .args(["--url", &url])
        .args([
            "--step",
            &format!("2:{before}"),
            "--step",
            &format!("25:{seconds}"),
        ])
        .arg("--mark")
        .arg(&mark)
        .arg("--csv")
        .arg(&csv)
        .arg("--json")
        .arg(directory.join(format!("load-{name}.json")))
        .spawn()
        .unwrap();
    assert!(load.wait().unwrap().success());
    let step = unix_times(&mark)[1];
    let seen: Vec<WatchEvent> = seen_rx.try_iter().collect();
    let after = |wanted: fn(&WatchEvent) -> Option<f64>| {
        let times = seen.iter().filter_map(wanted);
        times.filter(|at| *at > step).fold(f64::INFINITY, f64::min) - step
    };
    let early = seen.iter().any(
        |seen| matches!(seen, WatchEvent::Replicas { at, count } if *at < step && *count != 1),
    );
    assert!(!early, "scaled before the step: {}", fleet.describe());
    Run {
        changed: after(|seen| match seen {
            WatchEvent::Replicas { at, count } if *count > 1 => Some(*at),
            _ => None,
        }),
        ready: after(|seen| match seen {
            WatchEvent::Ready { at } => Some(*at),
            WatchEvent::Replicas { .. } => None,
        }),
        bad: bad(&csv, before),
        largest: seen.iter().fold(1, |largest, seen| match seen {
            WatchEvent::Replicas { count, .. } => largest.max(*count),
            WatchEvent::Ready { .. } => largest,
        }),
    }
}

/// Returns the share of requests since the step that failed or waited too long.
fn bad(csv: &Path, from: f64) -> f64 {
    let text = fs::read_to_string(csv).unwrap();
    let (mut bad, mut all) = (0_u32, 0_u32);
    for line in text.lines().skip(1) {
        let mut fields = line.split(',');
        let start: f64 = fields.next().unwrap().parse().unwrap();
        let latency: f64 = fields.next().unwrap().parse().unwrap();
        let outcome = fields.next().unwrap();
        if start >= from {
            all += 1;
            bad += u32::from(latency > BAD_AFTER_MS || outcome != "200");
        }
    }
    f64::from(bad) / f64::from(all)
}
