//! The load step that was measured with Prometheus, its adapter and the HPA, on a real node: 2 requests/s, then at a
//! random time 25 requests/s, a new connection for each, to TorchServe pods of one worker and 100 ms service time; min
//! 1, max 5, no `behavior`. `Ratio` runs with the target of that measurement, 7 ms, plain and with TLS and tokens. The
//! queue model runs with 100 ms, at which one pod has the capacity for 2 requests/s.

use std::fs;
use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::StreamExt as _;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client};
use pushscale_api::Algorithm;
use pushscale_tests::charts::Helm;
use pushscale_tests::fleet::{self, Fleet, FleetOptions};
use pushscale_tests::test_cluster::{Shape, TestCluster};
use serde_json::{Value, json};

use crate::spread::Spread;

/// Overridden by PUSHSCALE_BENCH_RUNS.
const RUNS: usize = 10;

/// Duration of the step in seconds, overridden by PUSHSCALE_BENCH_STEP. The reaction takes two seconds, but the delayed
/// requests add up over 120.
const STEP: u32 = 120;

/// A request that takes longer counts as a violation, like a failed one.
const HARMED_MS: f64 = 1000.0;

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
    harmed: f64,
    largest: i32,
}

/// Prints seconds and shares, per run and overall.
pub(crate) fn run() {
    if !Shape::Node.available() {
        println!("  NOT MEASURED: requires root and network namespaces");
        return;
    }
    let Some(torchserve) = fleet::local_torchserve() else {
        println!("  NOT MEASURED: requires Java and Python");
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
    let runs = number("PUSHSCALE_BENCH_RUNS", RUNS);
    let step = number("PUSHSCALE_BENCH_STEP", STEP);
    let mut subjects = [
        Subject::new("Model", Algorithm::Model, false),
        Subject::new("Ratio", Algorithm::Ratio, false),
        Subject::new("Ratio with TLS and tokens", Algorithm::Ratio, true),
    ];
    // In turns, so that a slow phase of the machine affects all of them.
    for number in 1..=runs {
        for subject in &mut subjects {
            let cluster = if subject.trust { &trusting } else { &plain };
            let options = FleetOptions {
                behavior: Value::Null,
                token_seconds: subject.trust.then_some(3600),
                ..FleetOptions::by(subject.algorithm)
            };
            let name = format!("{:?}-{number}", subject.algorithm).to_lowercase();
            let fleet = Fleet::create(cluster, &torchserve, &name, &options);
            let result = once(cluster, &fleet, &name, step);
            println!(
                "  {}, run {number:>2}: replicas changed after {:.2} s, next pod Ready after {:.2} s, {:.1}% failed or late, {} replicas at most",
                subject.name,
                result.changed,
                result.ready,
                result.harmed * 100.0,
                result.largest,
            );
            fleet.delete();
            subject.results.push(result);
        }
    }
    for subject in &subjects {
        compare(subject, step);
    }
    let [_, plain, trusting] = &subjects;
    let ratio = trusting.changed().mean() / plain.changed().mean();
    println!("  with TLS and tokens {ratio:.2} × the mean time to changed replicas without");
}

fn number<N: std::str::FromStr>(variable: &str, default: N) -> N {
    match std::env::var(variable) {
        Ok(text) => text
            .parse()
            .unwrap_or_else(|_| panic!("{variable} is {text:?}: it must be a whole number")),
        Err(_) => default,
    }
}

/// A configuration and its results.
struct Subject {
    name: &'static str,
    algorithm: Algorithm,
    trust: bool,
    results: Vec<Run>,
}

impl Subject {
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

fn compare(subject: &Subject, step: u32) {
    let changed = subject.changed();
    let harmed = subject.of(|run| run.harmed * 100.0);
    let runs = subject.results.len();
    println!(
        "  {}, over {runs} runs, min / median / mean / max:",
        subject.name
    );
    println!("  spec.replicas changed   {changed:.2} s");
    println!(
        "  next pod Ready          {:.2} s",
        subject.of(|run| run.ready)
    );
    println!("  failed or over 1 s      {harmed:.1} % of the requests of {step} s");
    if step != STEP {
        return;
    }
    for (name, seconds, share) in CLASSICAL {
        println!(
            "  Prometheus, adapter and HPA, {name} (recorded on such a cluster): {seconds} s, {:.0}%: {:.0} × ours, {:.1} × ours",
            share * 100.0,
            seconds / changed.mean(),
            share * 100.0 / harmed.mean()
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
    let seen: Vec<Seen> = seen_rx.try_iter().collect();
    let after = |wanted: fn(&Seen) -> Option<f64>| {
        let times = seen.iter().filter_map(wanted);
        times.filter(|at| *at > step).fold(f64::INFINITY, f64::min) - step
    };
    let early = seen
        .iter()
        .any(|seen| matches!(seen, Seen::Replicas { at, count } if *at < step && *count != 1));
    assert!(!early, "scaled before the step: {}", fleet.describe());
    Run {
        changed: after(|seen| match seen {
            Seen::Replicas { at, count } if *count > 1 => Some(*at),
            _ => None,
        }),
        ready: after(|seen| match seen {
            Seen::Ready { at } => Some(*at),
            Seen::Replicas { .. } => None,
        }),
        harmed: harmed(&csv, before),
        largest: seen.iter().fold(1, |largest, seen| match seen {
            Seen::Replicas { count, .. } => largest.max(*count),
            Seen::Ready { .. } => largest,
        }),
    }
}

/// An event of a watch, and its time in Unix seconds.
enum Seen {
    Replicas { at: f64, count: i32 },
    Ready { at: f64 },
}

/// Watches from within the cluster's network, on a thread that stays there until the process ends.
fn watch(cluster: &TestCluster, namespace: &str, seen_tx: mpsc::Sender<Seen>) {
    let cluster = TestCluster::attach(cluster.name()).unwrap();
    let namespace = namespace.to_owned();
    thread::spawn(move || {
        cluster.enter().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let kubeconfig = kube::config::Kubeconfig::read_from(cluster.kubeconfig()).unwrap();
            let options = kube::config::KubeConfigOptions::default();
            let config = kube::Config::from_custom_kubeconfig(kubeconfig, &options);
            let client = Client::try_from(config.await.unwrap()).unwrap();
            let deployments: Api<Deployment> = Api::namespaced(client.clone(), &namespace);
            let pods: Api<Pod> = Api::namespaced(client, &namespace);
            let mut deployments =
                Box::pin(watcher(deployments, watcher::Config::default()).applied_objects());
            let mut pods = Box::pin(watcher(pods, watcher::Config::default()).applied_objects());
            let mut ready = std::collections::BTreeSet::new();
            loop {
                let seen = tokio::select! {
                    Some(Ok(deployment)) = deployments.next() => {
                        let count =
                            deployment.spec.replicas.unwrap_or(1);
                        Seen::Replicas { at: now(), count }
                    }
                    Some(Ok(pod)) = pods.next() => {
                        if !is_ready(&pod) || !ready.insert(pod.metadata.uid.clone()) {
                            continue;
                        }
                        Seen::Ready { at: now() }
                    }
                    else => return,
                };
                if seen_tx.send(seen).is_err() {
                    return;
                }
            }
        });
    });
    // The first list arrives before the load starts.
    thread::sleep(Duration::from_secs(1));
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod
        .status
        .as_ref()
        .and_then(|status| status.conditions.as_ref());
    conditions.is_some_and(|conditions| {
        conditions
            .iter()
            .any(|condition| condition.type_ == "Ready" && condition.status == "True")
    })
}

fn now() -> f64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs_f64()
}

fn unix_times(mark: &Path) -> Vec<f64> {
    let text = fs::read_to_string(mark).unwrap();
    text.lines()
        .map(|line| {
            line.split_whitespace()
                .next_back()
                .unwrap()
                .parse()
                .unwrap()
        })
        .collect()
}

/// Returns the share of requests since the step that failed or waited too long.
fn harmed(csv: &Path, from: f64) -> f64 {
    let text = fs::read_to_string(csv).unwrap();
    let (mut harmed, mut all) = (0_u32, 0_u32);
    for line in text.lines().skip(1) {
        let mut fields = line.split(',');
        let start: f64 = fields.next().unwrap().parse().unwrap();
        let latency: f64 = fields.next().unwrap().parse().unwrap();
        let outcome = fields.next().unwrap();
        if start >= from {
            all += 1;
            harmed += u32::from(latency > HARMED_MS || outcome != "200");
        }
    }
    f64::from(harmed) / f64::from(all)
}
