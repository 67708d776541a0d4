//! A TorchServe that does not report never causes a scale-down.

use std::thread;
use std::time::Duration;

use pushscale_api::Algorithm;
use pushscale_tests::fleet::{Fleet, FleetOptions, TIMEOUT, until};
use serde_json::json;

use crate::shared_node;

/// An idle fleet with this window is scaled down after seconds.
fn idle(algorithm: Algorithm, replicas: u32) -> FleetOptions {
    FleetOptions {
        replicas,
        behavior: json!({ "scaleDown": { "stabilizationWindowSeconds": 5 } }),
        ..FleetOptions::by(algorithm)
    }
}

fn namespace_name(what: &str, algorithm: Algorithm) -> String {
    format!("{what}-{algorithm:?}").to_lowercase()
}

/// At the same time: they wait most of the time.
fn for_both_algorithms(test: fn(Algorithm)) {
    thread::scope(|both| {
        both.spawn(|| test(Algorithm::Model));
        both.spawn(|| test(Algorithm::Ratio));
    });
}

fn assert_replicas_stay(fleet: &Fleet<'_>, replicas: u32, seconds: u64) {
    for _ in 0..seconds {
        assert_eq!(fleet.replicas(), replicas, "{}", fleet.describe());
        thread::sleep(Duration::from_secs(1));
    }
}

#[test]
fn a_frozen_torchserve_holds_the_replicas_until_it_reports_again() {
    for_both_algorithms(a_frozen_torchserve_holds);
}

fn a_frozen_torchserve_holds(algorithm: Algorithm) {
    let Some(node) = shared_node() else {
        return;
    };
    let mut options = idle(algorithm, 2);
    // Until one pod is frozen, only the minimum keeps the idle fleet.
    options.min_replicas = 2;
    let fleet = Fleet::create(
        node.cluster,
        node.torchserve,
        &namespace_name("frozen", algorithm),
        &options,
    );
    let pods = fleet.pods();
    assert_eq!(pods.len(), 2, "{}", fleet.describe());
    let signal = |name: &str| {
        fleet.kubectl(&[
            "exec",
            &pods[0],
            "-c",
            "torchserve",
            "--",
            "/usr/bin/pkill",
            name,
            "java",
        ]);
    };
    signal("-STOP");
    until(TIMEOUT, "reported", || {
        let text = fleet.status();
        text.contains("SomePodsNotReporting") && text.contains("does not respond")
    });
    fleet.patch(r#"{"minReplicas":1}"#);
    assert_replicas_stay(&fleet, 2, 10);
    signal("-CONT");
    // Check that only the missing reports held the replicas:
    until(TIMEOUT, "scaled down to 1", || fleet.replicas() == 1);
    fleet.delete();
}

#[test]
fn a_torchserve_in_log_mode_holds_the_replicas_and_the_message_names_the_setting() {
    for_both_algorithms(log_mode_holds);
}

fn log_mode_holds(algorithm: Algorithm) {
    let Some(node) = shared_node() else {
        return;
    };
    let mut options = idle(algorithm, 2);
    options.torchserve = vec!["--metrics-mode".to_owned(), "log".to_owned()];
    let fleet = Fleet::create(
        node.cluster,
        node.torchserve,
        &namespace_name("logmode", algorithm),
        &options,
    );
    until(TIMEOUT, "reported", || {
        fleet
            .status()
            .contains("set metrics_mode=prometheus in config.properties")
    });
    assert_replicas_stay(&fleet, 2, 10);
    let described = fleet.describe();
    assert!(described.contains("FailedGetPodsMetric"), "{described}");
    assert!(described.contains("NoPodsReporting"), "{described}");
    fleet.delete();
}
