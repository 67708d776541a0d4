//! Emptier pods are deleted before busier ones.

use pushscale_api::Algorithm;
use pushscale_tests::fleet::{Fleet, FleetOptions, TIMEOUT, until};
use serde_json::json;

use crate::shared_node;

#[test]
fn the_busiest_pod_is_deleted_last() {
    let Some(node) = shared_node() else { return };
    let options = FleetOptions {
        replicas: 3,
        min_replicas: 3,
        // No queue latency is too long, so that Pushscale scales down to the minimum.
        target: "600s",
        behavior: json!({ "scaleDown": { "stabilizationWindowSeconds": 2 } }),
        ..FleetOptions::by(Algorithm::Ratio)
    };
    let fleet = Fleet::create(node.cluster, node.torchserve, "emptiest", &options);
    let set_min = |replicas: u32| fleet.patch(&format!(r#"{{"minReplicas":{replicas}}}"#));
    until(TIMEOUT, "3 pods report", || {
        fleet.status().contains("3 of 3 running pods report")
    });
    let busy = fleet.pods().swap_remove(0);
    // Twice its capacity, so that its queue grows.
    let load = fleet.load_pod(&busy, &["20:3600"]);
    until(TIMEOUT, "a queue reported", || {
        fleet.reported_queue_depth(&busy) >= 20.0
    });
    for replicas in [2, 1] {
        set_min(replicas);
        until(TIMEOUT, "one pod less", || {
            fleet.pods().len() == replicas as usize
        });
        assert!(fleet.pods().contains(&busy), "the busy pod was deleted");
    }
    load.stop();
    fleet.delete();
}
