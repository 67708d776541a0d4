//! A load step from 2 to 25 requests per second on pods with one worker and a service time of 100 ms, with one
//! connection per request.

use std::thread;
use std::time::Duration;

use pushscale_api::Algorithm;
use pushscale_tests::fleet::{Fleet, FleetOptions, TIMEOUT, until};

use crate::{Node, node};

#[test]
fn replicas_follow_the_load_up_and_down_within_min_and_max() {
    let Some(node) = node() else { return };
    let node = &node;
    thread::scope(|both| {
        both.spawn(move || {
            let expected = [
                "reason: queue latency: backlog",
                "reason: fewer replicas meet the target",
                "MetricsIncomplete",
                "AllMetricsAvailable",
                "1 worker per pod; ",
            ];
            follow_the_load(node, Algorithm::Model, &expected);
        });
        both.spawn(move || {
            let expected = [
                "reason: queue latency above target",
                "reason: All metrics below target",
            ];
            follow_the_load(node, Algorithm::Ratio, &expected);
        });
    });
}

fn follow_the_load(node: &Node, algorithm: Algorithm, expected: &[&str]) {
    let name = format!("step-{algorithm:?}").to_lowercase();
    // A machine that stalls for a moment delays single requests, once by 210 ms: the target of `Ratio` must not be
    // lower than that. With the step, requests wait longer within seconds.
    let target = match algorithm {
        Algorithm::Model => "100ms",
        Algorithm::Ratio => "1s",
    };
    let options = FleetOptions {
        target,
        ..FleetOptions::by(algorithm)
    };
    let fleet = Fleet::create(node.cluster, node.torchserve, &name, &options);
    let load = fleet.load(&["2:3600"]);
    let mut largest = 0;
    let mut seen = || {
        let now = fleet.replicas();
        assert!((1..=5).contains(&now), "{now} replicas");
        largest = largest.max(now);
        now
    };
    for _ in 0..20 {
        assert_eq!(
            seen(),
            1,
            "2 requests/s are no overload:\n{}",
            fleet.describe()
        );
        thread::sleep(Duration::from_millis(300));
    }
    load.stop();
    // 25 requests/s keep 2.6 workers busy, and with three of them requests wait longer than the target.
    let load = fleet.load(&["25:3600"]);
    until(TIMEOUT, "scaled up", || seen() >= 4);
    load.stop();
    until(TIMEOUT, "scaled down again", || seen() == 1);
    assert!(largest <= 5);

    let described = fleet.describe();
    for expected in [
        "AbleToScale",
        "ScalingActive",
        "ScalingLimited",
        "Fresh",
        "SuccessfulRescale",
        "Last Scale Time",
        "Target:",
    ]
    .iter()
    .chain(expected)
    {
        assert!(
            described.contains(expected),
            "{expected} is not in\n{described}"
        );
    }
    let columns = fleet.kubectl(&["get", "pushscaler", "torchserve"]);
    assert!(columns.contains("Deployment/torchserve"), "{columns}");

    // The manifest contains every permission that the aggregator needs, and the log reports none as missing.
    let log = node
        .cluster
        .kubectl(&["-n", "pushscale", "logs", "deployment/pushscale-aggregator"])
        .unwrap();
    assert!(!log.contains("forbidden: User"), "{log}");
    fleet.delete();
}
