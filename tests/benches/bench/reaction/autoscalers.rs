//! The same load step on every way to scale by Pushscale, in turns: a PushScaler, an HPA on the external metrics, and
//! KEDA. From 2 requests/s to 25/s until `spec.replicas` changes, and for KEDA from zero replicas to one. An HPA
//! evaluates every 15 s, so the steps are spread evenly over its phase.

use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use pushscale_api::Algorithm;
use pushscale_tests::charts::{Helm, objects};
use pushscale_tests::document::Document;
use pushscale_tests::fleet::{self, Fleet, FleetOptions, TIMEOUT, until};
use pushscale_tests::keda::{Release, documented_objects};
use pushscale_tests::test_cluster::{Shape, TestCluster};
use serde_json::json;

use super::RUNS;
use super::watch::{WatchEvent, unix_times, watch};
use crate::environment::{number, torchserve_on_a_node};
use crate::spread::Spread;

/// The period of the HPA controller.
const HPA_SECONDS: f64 = 15.0;

/// The time at 2 requests/s, and more in the phase of the HPA.
const BEFORE_SECONDS: f64 = 10.0;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Autoscaler {
    Model,
    Ratio,
    Hpa,
    Keda,
}

const ALL: [(Autoscaler, &str); 4] = [
    (Autoscaler::Model, "PushScaler, 100 ms"),
    (Autoscaler::Ratio, "PushScaler with Ratio, 7 ms"),
    (
        Autoscaler::Hpa,
        "HPA on ts_queue_latency_microseconds, 7 ms",
    ),
    (Autoscaler::Keda, "KEDA, 100 ms"),
];

/// Prints seconds per run and overall, with the ratio of the means to the HPA's.
pub(crate) fn run() {
    let Some(torchserve) = torchserve_on_a_node() else {
        return;
    };
    let (Some(helm), Some(release)) = (Helm::for_test(), Release::for_test()) else {
        println!("  NOT MEASURED: requires Go");
        return;
    };
    let metrics = TestCluster::start(Shape::Node).unwrap();
    fleet::install_chart(
        &metrics,
        &helm,
        &json!({ "externalMetrics": { "enabled": true } }),
    );
    let keda = TestCluster::start(Shape::Node).unwrap();
    fleet::install_chart(&keda, &helm, &json!({ "keda": { "enabled": true } }));
    release.install(&keda);

    let runs = number("PUSHSCALE_BENCH_RUNS").unwrap_or(RUNS);
    let mut changed = ALL.map(|_| Vec::new());
    let mut started = Vec::new();
    for run in 0..runs {
        let before = BEFORE_SECONDS + HPA_SECONDS * run as f64 / runs as f64;
        for (index, (autoscaler, name)) in ALL.into_iter().enumerate() {
            let cluster = if autoscaler == Autoscaler::Keda {
                &keda
            } else {
                &metrics
            };
            let namespace = format!("run-{run}-{index}");
            let options = options(autoscaler);
            let fleet = Fleet::create(cluster, &torchserve, &namespace, &options);
            follow(cluster, &fleet, autoscaler);
            let (seen_tx, seen_rx) = mpsc::channel();
            watch(cluster, fleet.namespace(), seen_tx);
            match react(cluster, &fleet, &seen_rx, before) {
                Some(seconds) => {
                    println!(
                        "  {name}, run {}: size changed after {seconds:.2} s",
                        run + 1
                    );
                    changed[index].push(seconds);
                }
                None => println!(
                    "  {name}, run {}: scaled before the step, not counted",
                    run + 1
                ),
            }
            if autoscaler == Autoscaler::Keda {
                let seconds = start(&fleet, &seen_rx);
                println!(
                    "  {name}, run {}: 0 to 1 replica in {seconds:.2} s",
                    run + 1
                );
                started.push(seconds);
            }
            fleet.delete();
        }
    }
    println!(
        "  over {runs} runs, min / median / mean / max, and the HPA's mean in this run by this one:"
    );
    let changed = changed.map(Spread::of);
    let hpa = changed[Autoscaler::Hpa as usize].mean();
    for ((_, name), changed) in ALL.iter().zip(&changed) {
        println!(
            "  {name}: size changed after {changed:.2} s, {:.1} ×",
            hpa / changed.mean()
        );
    }
    println!("  KEDA, 0 to 1 replica: {:.2} s", Spread::of(started));
}

fn options(autoscaler: Autoscaler) -> FleetOptions {
    let algorithm = match autoscaler {
        Autoscaler::Model | Autoscaler::Keda => Algorithm::Model,
        Autoscaler::Ratio | Autoscaler::Hpa => Algorithm::Ratio,
    };
    FleetOptions {
        scaled: matches!(autoscaler, Autoscaler::Model | Autoscaler::Ratio),
        token_seconds: Some(3600),
        ..FleetOptions::by(algorithm)
    }
}

/// Creates the documented objects for an HPA or KEDA, and returns once the autoscaler has read the load.
fn follow(cluster: &TestCluster, fleet: &Fleet<'_>, autoscaler: Autoscaler) {
    let documented = match autoscaler {
        Autoscaler::Model | Autoscaler::Ratio => Vec::new(),
        Autoscaler::Hpa => {
            let page = Document::read("EXTERNAL-METRICS.md");
            let scaler = page.section("Selecting the pods").file("pushscaler.yaml");
            let hpa = page.section("The published HPA").file("hpa.yaml");
            [scaler, hpa].into_iter().flat_map(objects).collect()
        }
        Autoscaler::Keda => documented_objects(fleet.namespace(), None).to_vec(),
    };
    for mut object in documented.clone() {
        object["metadata"]["namespace"] = json!(fleet.namespace());
        cluster.api().apply(&object.to_string()).unwrap();
    }
    until(TIMEOUT, "reported", || {
        fleet.describe().contains("1 of 1 running pods report")
    });
    if !documented.is_empty() {
        let read = [
            "get",
            "hpa",
            "-o=jsonpath={.items[0].status.currentMetrics[0].external}",
        ];
        until(TIMEOUT, "read by the HPA", || {
            fleet.kubectl(&read).contains("metric")
        });
    }
}

/// Returns the seconds from the step of the load to the change of the size; `None` if that came first. A machine that
/// stalls for a moment delays single requests beyond a target of 7 ms.
fn react(
    cluster: &TestCluster,
    fleet: &Fleet<'_>,
    seen: &Receiver<WatchEvent>,
    before: f64,
) -> Option<f64> {
    let mark = cluster
        .logs_dir()
        .join(format!("mark-{}", fleet.namespace()));
    let url = format!("http://{}/predictions/sleepy", fleet.address());
    let mut load = cluster
        .command(pushscale_tests::programs::load().to_str().unwrap())
        .args(["--url", &url])
        .args(["--step", &format!("2:{before}"), "--step", "25:3600"])
        .arg("--mark")
        .arg(&mark)
        .arg("--json")
        .arg(mark.with_extension("json"))
        .spawn()
        .unwrap();
    let changed = replicas(seen, |count| count > 1);
    load.kill().unwrap();
    load.wait().unwrap();
    let steps = unix_times(&mark);
    let step = steps.get(1).filter(|step| changed > **step);
    step.map(|step| changed - step)
}

/// Returns the seconds from zero replicas until KEDA has started the Deployment.
fn start(fleet: &Fleet<'_>, seen: &Receiver<WatchEvent>) -> f64 {
    fleet.kubectl(&["scale", "deployment", "torchserve", "--replicas=0"]);
    let stopped = replicas(seen, |count| count == 0);
    replicas(seen, |count| count > 0) - stopped
}

/// Waits for a size, and returns its Unix time in seconds.
fn replicas(seen: &Receiver<WatchEvent>, wanted: impl Fn(i32) -> bool) -> f64 {
    let start = Instant::now();
    loop {
        let left = TIMEOUT
            .saturating_sub(start.elapsed())
            .max(Duration::from_millis(1));
        if let WatchEvent::Replicas { at, count } = seen.recv_timeout(left).expect("no such size")
            && wanted(count)
        {
            return at;
        }
    }
}
