//! Readings in, replicas out, and everything a user then looks at.

use std::time::Duration;

use pushscale_tests::cluster::{Aggregator, Namespace, SOON};
use pushscale_tests::http;

use crate::rig;

/// Down after two seconds without need, so that a test need not wait five minutes.
const QUICK_DOWN: &str = "  behavior: { scaleDown: { stabilizationWindowSeconds: 2 } }\n";

#[tokio::test]
async fn a_deployment_goes_up_with_the_wait_and_down_after_it() {
    let namespace = Namespace::create(rig(), "updown");
    namespace.deploy("Deployment", 1).await;
    namespace.scale(
        "torchserve",
        "apps/v1",
        "Deployment",
        "torchserve",
        QUICK_DOWN,
    );
    let aggregator = Aggregator::start(&namespace).await;
    let mut voices = namespace.run_pods(1).await;
    let replicas =
        || async { namespace.get("deployment", "torchserve")["spec"]["replicas"].clone() };

    aggregator
        .hear_until(&mut voices, Some(1.2), || async { replicas().await == 5 })
        .await;
    // With behavior the limit is the larger of 4 pods and 100 % in 15 s: 1 + 4.
    namespace
        .until("pushscaler", "torchserve", "told", |object| {
            object["status"]["lastScaleTime"].is_string()
        })
        .await;
    let scaler = namespace.get("pushscaler", "torchserve");
    assert_eq!(scaler["status"]["reference"], "Deployment/torchserve");
    assert_eq!(
        scaler["status"]["observedGeneration"],
        scaler["metadata"]["generation"]
    );
    assert!(scaler["status"]["lastScaleTime"].is_string(), "{scaler:#}");

    let mut voices = namespace.run_pods(5).await;
    aggregator
        .hear_until(&mut voices, Some(0.0), || async { replicas().await == 1 })
        .await;
    let mut voices = namespace.run_pods(1).await;
    let describe = || namespace.kubectl(&["describe", "pushscaler", "torchserve"]);
    aggregator
        .hear_until(&mut voices, Some(0.0071), || async {
            describe().contains("1 of 1 running pods report")
        })
        .await;
    let described = describe();
    for expected in [
        "AbleToScale",
        "ScalingActive",
        "ValidMetricFound",
        "ScalingLimited",
        "Fresh",
        "AllPodsReport",
        "SuccessfulRescale",
        "New size: 5; reason: queue latency above target",
        "New size: 1; reason: All metrics below target",
        "Observed Generation",
        "Desired Replicas",
    ] {
        assert!(
            described.contains(expected),
            "{expected} is not in\n{described}"
        );
    }
    let columns = namespace.kubectl(&["get", "pushscalers"]);
    let mut lines = columns.lines();
    let head: Vec<_> = lines.next().unwrap().split_whitespace().collect();
    assert_eq!(
        head,
        [
            "NAME",
            "REFERENCE",
            "LATENCY",
            "MINPODS",
            "MAXPODS",
            "REPLICAS",
            "AGE"
        ]
    );
    let row: Vec<_> = lines.next().unwrap().split_whitespace().collect();
    assert_eq!(row[1], "Deployment/torchserve");
    assert!(row[2].ends_with("/7ms"), "{columns}");
    assert_eq!(row[3..6], ["1", "5", "1"]);

    let log = aggregator.log();
    assert!(!log.contains("orbidden"), "a permission is missing:\n{log}");
    let metrics = aggregator.metrics().await;
    assert!(
        metrics.contains("scale_writes_total{outcome=\"Written\"} 2"),
        "{metrics}"
    );
}

#[tokio::test]
async fn without_behavior_a_fall_waits_for_five_minutes() {
    let namespace = Namespace::create(rig(), "patient");
    namespace.deploy("Deployment", 4).await;
    namespace.scale("torchserve", "apps/v1", "Deployment", "torchserve", "");
    let aggregator = Aggregator::start(&namespace).await;
    let mut voices = namespace.run_pods(4).await;
    aggregator
        .hear_until(&mut voices, Some(0.0), || async {
            let page = http::get(aggregator.admin, "/debug/scalers").await.body;
            let scaler = namespace.get("pushscaler", "torchserve");
            page.contains("proposals of the last 300 s hold it at 4 instead of 0")
                && Namespace::condition(&scaler, "AbleToScale") == "True/ScaleDownStabilized"
        })
        .await;
    assert_eq!(
        namespace.get("deployment", "torchserve")["spec"]["replicas"],
        4
    );
}

#[tokio::test]
async fn silent_pods_hold_the_size_and_are_named() {
    let namespace = Namespace::create(rig(), "silent");
    namespace.deploy("Deployment", 3).await;
    namespace.scale(
        "torchserve",
        "apps/v1",
        "Deployment",
        "torchserve",
        QUICK_DOWN,
    );
    let aggregator = Aggregator::start(&namespace).await;
    let mut voices = namespace.run_pods(3).await;
    let silent = voices.pop().unwrap();
    aggregator
        .hear_until(&mut voices, Some(0.0), || async {
            let page = http::get(aggregator.admin, "/debug/scalers").await.body;
            let scaler = namespace.get("pushscaler", "torchserve");
            let counts = &scaler["status"]["pods"];
            page.contains("2 of 3 running pods report, scaling down takes 80 %")
                && page.contains(&format!("{}: no reading yet", silent.name))
                && Namespace::condition(&scaler, "Fresh") == "False/SomePodsSilent"
                && counts["fresh"] == 2
                && counts["absent"] == 1
        })
        .await;
    assert_eq!(
        namespace.get("deployment", "torchserve")["spec"]["replicas"],
        3
    );
}

#[tokio::test]
async fn sizes_outside_the_bounds_are_corrected_and_zero_is_left_alone() {
    let namespace = Namespace::create(rig(), "bounds");
    namespace.deploy("Deployment", 9).await;
    namespace.scale("torchserve", "apps/v1", "Deployment", "torchserve", "");
    let _aggregator = Aggregator::start(&namespace).await;
    namespace
        .until("deployment", "torchserve", "down to 5", |object| {
            object["spec"]["replicas"] == 5
        })
        .await;
    namespace.kubectl(&["scale", "deployment/torchserve", "--replicas=0"]);
    namespace
        .until_condition("torchserve", "ScalingActive", "False/ScalingDisabled")
        .await;
    assert_eq!(
        namespace.get("deployment", "torchserve")["spec"]["replicas"],
        0
    );

    // A new lower bound takes effect at once, without a reading.
    namespace.kubectl(&["scale", "deployment/torchserve", "--replicas=1"]);
    namespace.kubectl(&[
        "patch",
        "pushscaler",
        "torchserve",
        "--type=merge",
        "-p",
        r#"{"spec":{"minReplicas":3}}"#,
    ]);
    namespace
        .until("deployment", "torchserve", "up to 3", |object| {
            object["spec"]["replicas"] == 3
        })
        .await;
}

#[tokio::test]
async fn a_new_aggregator_keeps_what_the_old_one_told() {
    let namespace = Namespace::create(rig(), "restart");
    namespace.deploy("Deployment", 1).await;
    // A window that outlasts the test: only the restart could shrink it.
    let slow = "  behavior: { scaleDown: { stabilizationWindowSeconds: 60 } }\n";
    namespace.scale("torchserve", "apps/v1", "Deployment", "torchserve", slow);
    let first = Aggregator::start(&namespace).await;
    let mut voices = namespace.run_pods(1).await;
    first
        .hear_until(&mut voices, Some(1.2), || async {
            namespace.get("deployment", "torchserve")["spec"]["replicas"] == 5
        })
        .await;
    namespace
        .until("pushscaler", "torchserve", "told", |object| {
            object["status"]["lastScaleTime"].is_string()
        })
        .await;
    let before = namespace.get("pushscaler", "torchserve");
    drop(first);

    let second = Aggregator::start(&namespace).await;
    let mut voices = namespace.run_pods(5).await;
    second
        .hear_until(&mut voices, Some(0.0), || async {
            let page = http::get(second.admin, "/debug/scalers").await.body;
            page.contains("hold it at 5 instead of 0")
        })
        .await;
    let after = namespace.get("pushscaler", "torchserve");
    assert_eq!(
        after["status"]["lastScaleTime"],
        before["status"]["lastScaleTime"]
    );
    let since = |object: &serde_json::Value| {
        object["status"]["conditions"]
            .as_array()
            .unwrap()
            .iter()
            .find(|condition| condition["type"] == "AbleToScale")
            .unwrap()["lastTransitionTime"]
            .clone()
    };
    assert_eq!(
        since(&after),
        since(&before),
        "AbleToScale was True all the time"
    );
    assert_eq!(
        namespace.get("deployment", "torchserve")["spec"]["replicas"],
        5
    );
}

#[tokio::test]
async fn a_size_that_somebody_sets_is_decided_upon_anew() {
    let namespace = Namespace::create(rig(), "byhand");
    namespace.deploy("Deployment", 2).await;
    namespace.scale("torchserve", "apps/v1", "Deployment", "torchserve", "");
    let aggregator = Aggregator::start(&namespace).await;
    namespace.kubectl(&["scale", "deployment/torchserve", "--replicas=3"]);
    let mut voices = namespace.run_pods(3).await;
    // 3 pods at 4/3 of the target: 4, and not 3 as for the 2 that were.
    aggregator
        .hear_until(&mut voices, Some(0.0093), || async {
            namespace.get("deployment", "torchserve")["spec"]["replicas"] == 4
        })
        .await;
    http::until(SOON, || async {
        aggregator
            .metrics()
            .await
            .contains("scale_writes_total{outcome=\"Written\"} 1")
    })
    .await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(
        namespace.get("deployment", "torchserve")["spec"]["replicas"],
        4
    );
}
