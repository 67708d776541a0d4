//! From readings to replicas, and everything a user sees.

use pushscale_api::Algorithm;
use pushscale_tests::fake_pod::Load;
use pushscale_tests::http;
use pushscale_tests::namespace::{Aggregator, Namespace, TIMEOUT};

use crate::{RATIO, cluster};

/// Scales down after two seconds instead of five minutes.
const QUICK_DOWN: &str = "  behavior: { scaleDown: { stabilizationWindowSeconds: 2 } }\n";

/// Far above the capacity of one pod.
const OVERLOAD: Load = Load::Rate(25.0);

fn by(algorithm: Algorithm, more: &str) -> String {
    format!("  algorithm: {algorithm:?}\n{more}")
}

fn namespace_name(what: &str, algorithm: Algorithm) -> String {
    format!("{what}-{algorithm:?}").to_lowercase()
}

#[tokio::test]
async fn ratio_scales_a_deployment_up_and_down_with_the_queue_latency() {
    let reasons = [
        "New size: 3; reason: queue latency above target",
        "New size: 1; reason: All metrics below target",
    ];
    scales_up_and_down(Algorithm::Ratio, &reasons).await;
}

#[tokio::test]
async fn model_scales_a_deployment_up_and_down_with_the_load() {
    let reasons = [
        // A backlog, or on a busy machine the rate of the pushes that came at once.
        "New size: 3; reason: queue latency",
        "New size: 1; reason: fewer replicas meet the target",
        "MetricsIncomplete",
        "AllMetricsAvailable",
        "service time: 100 ms, 1 worker per pod",
    ];
    scales_up_and_down(Algorithm::Model, &reasons).await;
}

/// Scales up to the maximum of 3 and down to 1. With a target of 1 s, a pod has a capacity of about 9 requests per
/// second.
async fn scales_up_and_down(algorithm: Algorithm, described: &[&str]) {
    let namespace = Namespace::create(cluster(), &namespace_name("updown", algorithm));
    let spec = format!(
        "{QUICK_DOWN}  maxReplicas: 3\n  \
         metrics: [ {{ type: QueueLatency, queueLatency: {{ target: 1s }} }} ]\n"
    );
    namespace.scaled_deployment(1, &by(algorithm, &spec)).await;
    let aggregator = Aggregator::start(&namespace).await;
    let mut pods = namespace.run_pods(1).await;
    aggregator
        .push_until(&mut pods, OVERLOAD, || async { namespace.replicas() == 3 })
        .await;
    namespace
        .until("pushscaler", "torchserve", "reported", |object| {
            object["status"]["lastScaleTime"].is_string()
        })
        .await;
    let scaler = namespace.get("pushscaler", "torchserve");
    assert_eq!(scaler["status"]["reference"], "Deployment/torchserve");
    assert_eq!(
        scaler["status"]["observedGeneration"],
        scaler["metadata"]["generation"]
    );

    let mut pods = namespace.run_pods(3).await;
    aggregator
        .push_until(&mut pods, Load::Rate(1.0), || async {
            namespace.replicas() == 1
        })
        .await;
    // All in one output: on a busy machine, readings may become stale between two calls of kubectl.
    let always = [
        "1 of 1 running pods report",
        "AbleToScale",
        "ScalingActive",
        "ValidMetricFound",
        "ScalingLimited",
        "Fresh",
        "AllPodsReporting",
        "SuccessfulRescale",
        "Observed Generation",
        "Desired Replicas",
    ];
    let mut pods = namespace.run_pods(1).await;
    aggregator
        .push_until(&mut pods, Load::Rate(1.0), || async {
            let text = namespace.describe();
            let mut expected = always.iter().chain(described);
            expected.all(|part| text.contains(part))
        })
        .await;
    let mut columns = String::new();
    aggregator
        .push_until(&mut pods, Load::Rate(1.0), || {
            columns = namespace.kubectl(&["get", "pushscalers"]);
            // The readings may have become stale since the last call of kubectl.
            std::future::ready(!columns.contains("<unknown>"))
        })
        .await;
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
    assert!(row[2].ends_with("/1s"), "{columns}");
    assert_eq!(row[3..6], ["1", "3", "1"]);

    let log = aggregator.log();
    assert!(!log.contains("orbidden"), "a permission is missing:\n{log}");
    let metrics = aggregator.metrics().await;
    assert!(
        metrics.contains("scale_writes_total{outcome=\"written\"}"),
        "{metrics}"
    );
}

#[tokio::test]
async fn ratio_holds_a_scale_down_for_five_minutes_by_default() {
    let expected = "proposals of the last 5 min keep 4 replicas instead of 0";
    holds_for_five_minutes(Algorithm::Ratio, expected).await;
}

#[tokio::test]
async fn model_holds_a_scale_down_for_five_minutes_after_a_start() {
    let expected = "after a start keeps 4 replicas";
    holds_for_five_minutes(Algorithm::Model, expected).await;
}

async fn holds_for_five_minutes(algorithm: Algorithm, expected: &str) {
    let namespace = Namespace::create(cluster(), &namespace_name("patient", algorithm));
    namespace.scaled_deployment(4, &by(algorithm, "")).await;
    let aggregator = Aggregator::start(&namespace).await;
    let mut pods = namespace.run_pods(4).await;
    // Few requests: none waits, and one pod would be enough.
    aggregator
        .push_until(&mut pods, Load::Rate(0.1), || async {
            let scaler = namespace.get("pushscaler", "torchserve");
            aggregator.debug_page().await.contains(expected)
                && Namespace::condition(&scaler, "AbleToScale") == "True/ScaleDownStabilized"
        })
        .await;
    assert_eq!(namespace.replicas(), 4);
}

#[tokio::test]
async fn ratio_holds_and_names_pods_that_are_not_reporting() {
    not_reporting_pods_are_named(Algorithm::Ratio).await;
}

#[tokio::test]
async fn model_holds_and_names_pods_that_are_not_reporting() {
    not_reporting_pods_are_named(Algorithm::Model).await;
}

async fn not_reporting_pods_are_named(algorithm: Algorithm) {
    let namespace = Namespace::create(cluster(), &namespace_name("silent", algorithm));
    namespace
        .scaled_deployment(3, &by(algorithm, QUICK_DOWN))
        .await;
    let aggregator = Aggregator::start(&namespace).await;
    let mut pods = namespace.run_pods(3).await;
    let silent = pods.pop().unwrap();
    aggregator
        .push_until(&mut pods, Load::Rate(0.1), || async {
            let page = aggregator.debug_page().await;
            let scaler = namespace.get("pushscaler", "torchserve");
            let counts = &scaler["status"]["pods"];
            page.contains("2 of 3 running pods report, scaling down needs 80%")
                && page.contains(&format!("{}: no reading yet", silent.name))
                && Namespace::condition(&scaler, "Fresh") == "False/SomePodsNotReporting"
                && counts["fresh"] == 2
                && counts["absent"] == 1
        })
        .await;
    assert_eq!(namespace.replicas(), 3);
}

#[tokio::test]
async fn replicas_outside_min_and_max_are_corrected_except_zero() {
    let namespace = Namespace::create(cluster(), "bounds");
    namespace.scaled_deployment(9, "").await;
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
    assert_eq!(namespace.replicas(), 0);

    // A higher minimum takes effect at once, without a reading.
    namespace.kubectl(&["scale", "deployment/torchserve", "--replicas=1"]);
    namespace.patch("torchserve", r#"{"minReplicas":3}"#);
    namespace
        .until("deployment", "torchserve", "up to 3", |object| {
            object["spec"]["replicas"] == 3
        })
        .await;
}

#[tokio::test]
async fn ratio_keeps_the_replicas_and_the_status_after_an_aggregator_restart() {
    let expected = "keep 5 replicas instead of";
    a_new_aggregator_holds(Algorithm::Ratio, expected).await;
}

#[tokio::test]
async fn model_keeps_the_replicas_and_the_status_after_an_aggregator_restart() {
    let expected = "after a start keeps 5 replicas";
    a_new_aggregator_holds(Algorithm::Model, expected).await;
}

async fn a_new_aggregator_holds(algorithm: Algorithm, expected: &str) {
    let namespace = Namespace::create(cluster(), &namespace_name("restart", algorithm));
    // A window that is longer than the test: only the restart could cause a scale-down.
    let slow = "  behavior: { scaleDown: { stabilizationWindowSeconds: 600 } }\n";
    namespace.scaled_deployment(1, &by(algorithm, slow)).await;
    let first = Aggregator::start(&namespace).await;
    let mut pods = namespace.run_pods(1).await;
    first
        .push_until(&mut pods, OVERLOAD, || async { namespace.replicas() == 5 })
        .await;
    namespace
        .until("pushscaler", "torchserve", "reported", |object| {
            object["status"]["lastScaleTime"].is_string()
        })
        .await;
    let before = namespace.get("pushscaler", "torchserve");
    drop(first);

    let second = Aggregator::start(&namespace).await;
    let mut pods = namespace.run_pods(5).await;
    second
        .push_until(&mut pods, Load::Rate(0.1), || async {
            second.debug_page().await.contains(expected)
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
    assert_eq!(namespace.replicas(), 5);
}

#[tokio::test]
async fn a_manual_scale_starts_a_new_decision() {
    let namespace = Namespace::create(cluster(), "byhand");
    namespace.scaled_deployment(2, RATIO).await;
    let aggregator = Aggregator::start(&namespace).await;
    namespace.kubectl(&["scale", "deployment/torchserve", "--replicas=3"]);
    let mut pods = namespace.run_pods(3).await;
    // 3 pods at 4/3 of the target need 4, not 3 as the 2 pods before.
    aggregator
        .push_until(&mut pods, Load::QueueLatency(0.0093), || async {
            namespace.replicas() == 4
        })
        .await;
    http::until(TIMEOUT, || async {
        aggregator
            .metrics()
            .await
            .contains("scale_writes_total{outcome=\"written\"} 1")
    })
    .await;
    // The next decision sees the written replicas.
    aggregator
        .push_until(&mut pods, Load::QueueLatency(0.0093), || async {
            let page = aggregator.debug_page().await;
            page.contains("\"currentReplicas\": 4,")
        })
        .await;
    assert_eq!(namespace.replicas(), 4);
}
