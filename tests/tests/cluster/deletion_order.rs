//! A real ReplicaSet controller deletes the idle pods first, and foreign deletion costs are kept.

use std::time::{Duration, Instant};

use pushscale_api::names::{FIELD_MANAGER, POD_DELETION_COST};
use pushscale_tests::fake_pod::{FakePod, Load};
use pushscale_tests::namespace::{Aggregator, Namespace, TIMEOUT};
use serde_json::Value;

use crate::cluster;

/// One request is in flight, or none.
const BUSY: Load = Load::Rate(9.0);
const IDLE: Load = Load::Rate(0.1);

/// No request waits, so Pushscale scales down to the minimum at once.
fn ratio_with_min(replicas: u32) -> String {
    format!(
        "  algorithm: Ratio\n  minReplicas: {replicas}\n  maxReplicas: 8\n  behavior: {{ scaleDown: {{ stabilizationWindowSeconds: 2 }} }}\n"
    )
}

fn names(namespace: &Namespace<'_>) -> Vec<String> {
    let all = namespace.pods("torchserve");
    let names = all.iter().map(|pod| pod["metadata"]["name"].as_str());
    names.map(|name| name.unwrap().to_owned()).collect()
}

fn cost(pod: &Value) -> &Value {
    &pod["metadata"]["annotations"][POD_DELETION_COST]
}

/// Returns whether all readings were accepted: a new pod may still be unknown.
async fn push_all(aggregator: &Aggregator, pods: &mut [FakePod], load: Load) -> bool {
    let mut accepted = true;
    for pod in pods {
        let answer = pod.push(aggregator.push, load).await;
        assert!(matches!(answer.status, 200 | 404), "{answer:?}");
        accepted &= answer.status == 200;
    }
    accepted
}

/// Pushes until ten readings of every pod were accepted.
async fn report_all(aggregator: &Aggregator, busy: &mut [FakePod], idle: &mut [FakePod]) {
    let start = Instant::now();
    let mut rounds = 0;
    while rounds < 10 {
        assert!(start.elapsed() < TIMEOUT, "{}", aggregator.log());
        let accepted = push_all(aggregator, busy, BUSY).await;
        rounds += u32::from(push_all(aggregator, idle, IDLE).await && accepted);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test]
async fn the_idle_pods_are_deleted_first_and_the_others_keep_no_deletion_cost() {
    let namespace = Namespace::create(cluster(), "emptiest");
    namespace.deploy("Deployment", 8).await;
    let aggregator = Aggregator::start(&namespace).await;
    let mut busy = namespace.run_pods(8).await;
    // Three of eight: by chance they would be deleted once in 56 runs.
    let mut idle = vec![busy.remove(6), busy.remove(3), busy.remove(0)];
    // All have reported before the first scale-down, so that it knows the idle pods.
    namespace.scale_deployment(&ratio_with_min(8));
    report_all(&aggregator, &mut busy, &mut idle).await;
    namespace.patch("torchserve", r#"{"minReplicas":5}"#);
    let start = Instant::now();
    while namespace.pods("torchserve").len() > 5 {
        assert!(start.elapsed() < TIMEOUT, "{}", namespace.describe());
        tokio::time::sleep(Duration::from_millis(100)).await;
        push_all(&aggregator, &mut busy, BUSY).await;
        push_all(&aggregator, &mut idle, IDLE).await;
    }
    let left = names(&namespace);
    for pod in &busy {
        assert!(left.contains(&pod.name), "{left:?} without {}", pod.name);
    }
    for pod in namespace.pods("torchserve") {
        assert!(cost(&pod).is_null(), "{pod:#}");
    }
    let metrics = aggregator.metrics().await;
    assert!(
        metrics.contains("deletion_costs_total{outcome=\"marked\"} 3"),
        "{metrics}"
    );
    assert!(!aggregator.log().contains("orbidden"));
}

#[tokio::test]
async fn a_foreign_deletion_cost_is_kept_and_a_stale_one_of_ours_is_removed() {
    let namespace = Namespace::create(cluster(), "theirs");
    namespace.deploy("Deployment", 4).await;
    let mut busy = namespace.run_pods(4).await;
    let mut idle = vec![busy.remove(0)];
    let foreign = idle[0].name.clone();
    let annotation = format!("{POD_DELETION_COST}=5000");
    namespace.kubectl(&["annotate", "pod", &foreign, &annotation]);
    // As left by an aggregator that died between setting the cost and writing the scale.
    let stale = busy[0].name.clone();
    let manifest = namespace.cluster.logs_dir().join("stale-cost.yaml");
    let text = format!(
        "apiVersion: v1\nkind: Pod\nmetadata:\n  name: {stale}\n  annotations: {{ {POD_DELETION_COST}: \"-1000\" }}\n"
    );
    std::fs::write(&manifest, text).unwrap();
    namespace.kubectl(&[
        "apply",
        "--server-side",
        "--field-manager",
        FIELD_MANAGER,
        "-f",
        manifest.to_str().unwrap(),
    ]);
    assert_eq!(cost(&namespace.get("pod", &stale)), "-1000");
    namespace.scale_deployment(&ratio_with_min(4));
    let aggregator = Aggregator::start(&namespace).await;
    namespace
        .until("pod", &stale, "without a deletion cost", |pod| {
            cost(pod).is_null()
        })
        .await;
    report_all(&aggregator, &mut busy, &mut idle).await;
    namespace.patch("torchserve", r#"{"minReplicas":3}"#);
    let start = Instant::now();
    while namespace.pods("torchserve").len() > 3 {
        assert!(start.elapsed() < TIMEOUT, "{}", namespace.describe());
        tokio::time::sleep(Duration::from_millis(100)).await;
        push_all(&aggregator, &mut busy, BUSY).await;
        push_all(&aggregator, &mut idle, IDLE).await;
    }
    let pod = namespace.get("pod", &foreign);
    assert_eq!(cost(&pod), "5000");
}
