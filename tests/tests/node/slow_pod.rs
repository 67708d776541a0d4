//! A pod that becomes slow is replaced.

use pushscale_api::Algorithm;
use pushscale_tests::fleet::{self, Fleet, FleetOptions, TIMEOUT, until};
use serde_json::json;

use crate::own_node;

/// Six times as long as in the other pods: the slow one completes 1.7 requests per second, and its queue grows.
const SLOW_MS: u32 = 600;

#[test]
fn a_slow_pod_is_named_replaced_and_deleted_before_the_others() {
    let Some(node) = own_node() else { return };
    let options = FleetOptions {
        replicas: 4,
        min_replicas: 4,
        // No request waits that long, so only the replacement orders a pod.
        target: "60s",
        behavior: json!({ "scaleDown": { "stabilizationWindowSeconds": 2 } }),
        loaded: true,
        // The slow pod must not reject requests.
        torchserve: vec!["--job-queue-size=10000".to_owned()],
        ..FleetOptions::by(Algorithm::Model)
    };
    let fleet = Fleet::create(&node.cluster, &node.torchserve, "slow-pod", &options);
    let mut others = fleet.pods();
    assert_eq!(others.len(), 4, "{others:?}");
    // Each pod gets two requests per second, and the time that they take is known after forty.
    let load = fleet.load(&["8:3600"]);
    until(TIMEOUT, "all pods measured", || {
        let mut completed = others.iter().map(|pod| fleet.reported_completed(pod));
        completed.all(|completed| completed >= 60.0)
    });
    assert_eq!(fleet.replicas(), 4, "{}", fleet.describe());

    // The pod that replaces the slow one stays Pending until the test has seen what comes before.
    let kubernetes_node = node.cluster.kubectl(&["get", "nodes", "-o=name"]).unwrap();
    let kubernetes_node = kubernetes_node.trim();
    node.cluster.kubectl(&["cordon", kubernetes_node]).unwrap();
    let slow = others.remove(1);
    fleet.set_service_time(&slow, Some(SLOW_MS)).unwrap();
    until(TIMEOUT, "the slow pod named", || {
        let outlier = fleet.condition("PodOutlier");
        let message = outlier["message"].as_str().unwrap_or_default();
        outlier["status"] == "True" && message.contains(&format!("pod {slow} takes "))
    });
    until(TIMEOUT, "one more pod", || fleet.pods().len() == 5);
    assert_eq!(fleet.replicas(), 5, "{}", fleet.describe());
    let advice = "a replacement is starting";
    until(TIMEOUT, "named as being replaced", || {
        let outlier = fleet.condition("PodOutlier");
        outlier["message"].as_str().unwrap().contains(advice)
    });
    let leader = fleet::aggregator(&node.cluster, "/metadata/name");
    let log = node.cluster.kubectl(&["-n", "pushscale", "logs", &leader]);
    let (log, reason) = (
        log.unwrap(),
        "replacement: 5 replicas until one more is ready",
    );
    assert!(log.contains(reason), "{log}");
    others = fleet.pods();
    others.retain(|pod| *pod != slow);
    assert_eq!(others.len(), 4, "{slow} was deleted first: {others:?}");

    node.cluster
        .kubectl(&["uncordon", kubernetes_node])
        .unwrap();
    until(TIMEOUT, "the slow pod deleted", || {
        let now = fleet.pods();
        let lost = others.iter().find(|pod| !now.contains(pod));
        assert_eq!(lost, None, "not {slow}: {}", fleet.describe());
        !now.contains(&slow)
    });
    // With this, its queue is served within the deadline of the drain, however long the test took until here. A pod
    // that has terminated had none.
    fleet.set_service_time(&slow, None).ok();
    assert_eq!(fleet.replicas(), 4, "{}", fleet.describe());
    until(TIMEOUT, "no pod named", || {
        fleet.condition("PodOutlier")["status"] == "False"
    });
    let report = load.stop();
    assert_eq!(report.count_lost(), 0, "{report:?}");
}
