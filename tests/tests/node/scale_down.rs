//! Terminating pods lose no requests.

use std::thread;

use pushscale_api::Algorithm;
use pushscale_tests::fleet::{Fleet, FleetOptions, HANG, until};
use pushscale_tests::repeated_scale_down::{PODS, scale_down_repeatedly};
use serde_json::json;

use crate::node;

#[test]
fn five_pods_terminate_under_load_without_lost_requests() {
    let Some(node) = node() else { return };
    let node = &node;
    let fleet = |name: &str, drain: bool| {
        let options = FleetOptions {
            replicas: PODS,
            drain,
            loaded: true,
            ..FleetOptions::by(Algorithm::Ratio)
        };
        Fleet::create(node.cluster, node.torchserve, name, &options)
    };
    let (with, without) = thread::scope(|both| {
        let with = both.spawn(|| {
            let fleet = fleet("drained", true);
            let report = scale_down_repeatedly(node.cluster, &fleet, 5);
            fleet.delete();
            report
        });
        let without = both.spawn(|| {
            let fleet = fleet("undrained", false);
            // On average half a request is lost per pod. One run in ten of five pods loses none.
            let mut rounds = (0..6).map(|_| scale_down_repeatedly(node.cluster, &fleet, 5));
            let report = rounds.find(|report| report.loaded.count_lost() > 0);
            fleet.delete();
            report
        });
        (with.join().unwrap(), without.join().unwrap())
    });
    assert_eq!(with.loaded.count_lost(), 0, "{with:?}");
    assert_eq!(with.drains.len(), 5, "{with:?}");
    for drain in &with.drains {
        assert!(drain.starts_with("drained after "), "{with:?}");
    }
    // Requests arrived during the drains, so the pods did terminate under load.
    let came = |drain: &String| drain.contains("the last request arrived");
    assert!(with.drains.iter().any(came), "{with:?}");
    assert!(without.is_some(), "30 pods without a drain lost no request");
}

#[test]
fn the_busiest_pod_is_deleted_last() {
    let Some(node) = node() else { return };
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
    until(HANG, "3 pods report", || {
        fleet.describe().contains("3 of 3 running pods report")
    });
    let busy = fleet.pods().swap_remove(0);
    // Twice its capacity, so that its queue grows.
    let load = fleet.load_pod(&busy, &["20:3600"]);
    until(HANG, "a queue reported", || {
        fleet.reported_queue_depth(&busy) >= 20.0
    });
    for replicas in [2, 1] {
        set_min(replicas);
        until(HANG, "one pod less", || {
            fleet.pods().len() == replicas as usize
        });
        assert!(fleet.pods().contains(&busy), "the busy pod went");
    }
    load.stop();
    fleet.delete();
}
