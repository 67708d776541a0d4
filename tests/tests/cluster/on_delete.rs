//! `onDelete: Keep | Restore` when a PushScaler is deleted.

use std::time::{Duration, Instant};

use pushscale_tests::document::{Document, Reader};
use pushscale_tests::fake_pod::{FakePod, Load};
use pushscale_tests::namespace::{Aggregator, Namespace, TIMEOUT};
use serde_json::Value;

use crate::cluster;

const OVERLOAD: Load = Load::Rate(25.0);
const FINALIZER: &str = "pushscale.dev/restore-replicas";

/// A pod has a capacity of about 9 requests per second; a higher rate is an overload.
fn spec(more: &str) -> String {
    format!("  metrics: [ {{ type: QueueLatency, queueLatency: {{ target: 1s }} }} ]\n{more}")
}

/// Scales the Deployment from 2 to 5 replicas, with these settings.
async fn scale_up(namespace: &Namespace<'_>, more: &str) -> (Aggregator, Vec<FakePod>) {
    namespace.scaled_deployment(2, &spec(more)).await;
    let aggregator = Aggregator::start(namespace).await;
    let mut pods = namespace.run_pods(2).await;
    aggregator
        .push_until(&mut pods, OVERLOAD, || async { namespace.replicas() == 5 })
        .await;
    namespace
        .until(
            "pushscaler",
            "torchserve",
            "with the first count",
            |scaler| scaler["status"]["replicasBefore"] == 2,
        )
        .await;
    (aggregator, pods)
}

/// Waits until the PushScaler has exactly these finalizers.
async fn until_finalizers(namespace: &Namespace<'_>, expected: &[&str]) {
    let what = format!("with the finalizers {expected:?}");
    namespace
        .until("pushscaler", "torchserve", &what, |scaler| {
            finalizers(scaler) == expected
        })
        .await;
}

fn finalizers(scaler: &Value) -> Vec<&str> {
    let names = scaler["metadata"]["finalizers"].as_array();
    names
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect()
}

fn delete(namespace: &Namespace<'_>) {
    namespace.kubectl(&["delete", "pushscaler/torchserve", "--wait=false"]);
}

async fn until_deleted(namespace: &Namespace<'_>) {
    let start = Instant::now();
    loop {
        let found = namespace.list("pushscaler");
        if found.is_empty() {
            return;
        }
        assert!(start.elapsed() < TIMEOUT, "it is not deleted: {found:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn keep_leaves_the_replicas_and_needs_no_finalizer() {
    let namespace = Namespace::create(cluster(), "keep");
    let (aggregator, _) = scale_up(&namespace, "").await;
    assert!(finalizers(&namespace.get("pushscaler", "torchserve")).is_empty());
    delete(&namespace);
    until_deleted(&namespace).await;
    pushscale_tests::http::until(TIMEOUT, || async {
        aggregator.log().contains("scaler removed")
    })
    .await;
    assert_eq!(namespace.replicas(), 5);
}

#[tokio::test]
async fn restore_writes_the_first_replica_count_back() {
    let namespace = Namespace::create(cluster(), "restore");
    let (aggregator, mut pods) = scale_up(&namespace, "  onDelete: Restore\n").await;
    until_finalizers(&namespace, &[FINALIZER]).await;
    // Later changes do not replace the first count.
    namespace.kubectl(&["scale", "deployment/torchserve", "--replicas=3"]);
    aggregator
        .push_until(&mut pods, OVERLOAD, || async { namespace.replicas() == 5 })
        .await;
    delete(&namespace);
    until_deleted(&namespace).await;
    assert_eq!(namespace.replicas(), 2);
    pushscale_tests::http::until(TIMEOUT, || async {
        aggregator.log().contains("replicas restored")
    })
    .await;
}

/// docs/REFERENCE.md describes what to do if no aggregator is running any more.
#[tokio::test]
async fn without_an_aggregator_the_documented_patch_completes_a_deletion() {
    let namespace = Namespace::create(cluster(), "models");
    let (aggregator, _) = scale_up(&namespace, "  onDelete: Restore\n").await;
    until_finalizers(&namespace, &[FINALIZER]).await;
    drop(aggregator);
    delete(&namespace);
    assert!(!finalizers(&namespace.get("pushscaler", "torchserve")).is_empty());
    let page = Document::read("REFERENCE.md");
    let mut reader = Reader::new(namespace.cluster, "on-delete", &[]);
    reader.follow(page.section("Deleting a PushScaler"), |_| {});
    until_deleted(&namespace).await;
    assert_eq!(namespace.replicas(), 5);
}

#[tokio::test]
async fn the_finalizer_follows_the_setting() {
    let namespace = Namespace::create(cluster(), "restore-setting");
    let (_aggregator, _) = scale_up(&namespace, "").await;
    let theirs = r#"{"metadata":{"finalizers":["example.com/theirs"]}}"#;
    let patch = ["patch", "pushscaler/torchserve", "--type=merge", "-p"];
    namespace.kubectl(&[&patch[..], &[theirs]].concat());
    for (setting, expected) in [
        ("Restore", &["example.com/theirs", FINALIZER][..]),
        ("Keep", &["example.com/theirs"]),
        ("Restore", &["example.com/theirs", FINALIZER]),
    ] {
        namespace.patch("torchserve", &format!(r#"{{"onDelete":"{setting}"}}"#));
        until_finalizers(&namespace, expected).await;
    }
    delete(&namespace);
    // The count is from before the setting. The other finalizer stays.
    namespace
        .until("deployment", "torchserve", "restored", |object| {
            object["spec"]["replicas"] == 2
        })
        .await;
    until_finalizers(&namespace, &["example.com/theirs"]).await;
    let none = r#"{"metadata":{"finalizers":null}}"#;
    namespace.kubectl(&[&patch[..], &[none]].concat());
    until_deleted(&namespace).await;
}

#[tokio::test]
async fn a_restarted_aggregator_restores_the_replicas() {
    let namespace = Namespace::create(cluster(), "restore-restart");
    let (aggregator, _) = scale_up(&namespace, "  onDelete: Restore\n").await;
    until_finalizers(&namespace, &[FINALIZER]).await;
    drop(aggregator);
    delete(&namespace);
    let scaler = namespace.get("pushscaler", "torchserve");
    assert!(scaler["metadata"]["deletionTimestamp"].is_string());
    assert_eq!(namespace.replicas(), 5);
    let _aggregator = Aggregator::start(&namespace).await;
    until_deleted(&namespace).await;
    assert_eq!(namespace.replicas(), 2);
}

#[tokio::test]
async fn restore_without_its_target_deletes_the_pushscaler() {
    let namespace = Namespace::create(cluster(), "restore-gone");
    let (aggregator, _) = scale_up(&namespace, "  onDelete: Restore\n").await;
    until_finalizers(&namespace, &[FINALIZER]).await;
    namespace.kubectl(&["delete", "deployment/torchserve"]);
    delete(&namespace);
    until_deleted(&namespace).await;
    assert!(!aggregator.log().contains("replicas restored"));
}

#[tokio::test]
async fn restore_leaves_the_replicas_to_an_hpa() {
    let namespace = Namespace::create(cluster(), "restore-hpa");
    let (aggregator, _) = scale_up(&namespace, "  onDelete: Restore\n").await;
    until_finalizers(&namespace, &[FINALIZER]).await;
    namespace.kubectl(&["autoscale", "deployment/torchserve", "--max=9", "--cpu=80%"]);
    namespace
        .until_condition("torchserve", "AbleToScale", "False/TargetContested")
        .await;
    delete(&namespace);
    until_deleted(&namespace).await;
    assert_eq!(namespace.replicas(), 5);
    let log = aggregator.log();
    assert!(log.contains("replicas not restored"), "{log}");
}

#[tokio::test]
async fn the_deletion_of_a_namespace_is_not_blocked() {
    let namespace = Namespace::create(cluster(), "restore-namespace");
    let (_aggregator, _) = scale_up(&namespace, "  onDelete: Restore\n").await;
    until_finalizers(&namespace, &[FINALIZER]).await;
    let timeout = format!("--timeout={}s", TIMEOUT.as_secs());
    let delete = ["delete", "namespace", &namespace.name, &timeout];
    namespace.cluster.kubectl(&delete).unwrap();
}
