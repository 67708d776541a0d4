//! Pods that go take no request with them.

use std::thread;
use std::time::Duration;

use pushscale_api::Algorithm;
use pushscale_tests::fleet::{Fleet, FleetOptions, until};
use pushscale_tests::repeated_scale_down::{PODS, shrink};
use serde_json::json;

use crate::ground;

#[test]
fn five_pods_terminate_under_load_without_lost_requests() {
    let Some(ground) = ground() else { return };
    let ground = &ground;
    let fleet = |name: &str, drain: bool| {
        let options = FleetOptions {
            replicas: PODS,
            drain,
            loaded: true,
            ..FleetOptions::by(Algorithm::Ratio)
        };
        Fleet::create(ground.cluster, ground.torchserve, name, &options)
    };
    let (with, without) = thread::scope(|both| {
        let with = both.spawn(|| {
            let fleet = fleet("drained", true);
            let shrunk = shrink(ground.cluster, &fleet, 5);
            fleet.delete();
            shrunk
        });
        let without = both.spawn(|| {
            let fleet = fleet("undrained", false);
            // Half a request is lost a pod, by chance: one run in ten of five pods loses none.
            let mut rounds = (0..6).map(|_| shrink(ground.cluster, &fleet, 5));
            let shrunk = rounds.find(|shrunk| shrunk.loaded.count_lost() > 0);
            fleet.delete();
            shrunk
        });
        (with.join().unwrap(), without.join().unwrap())
    });
    assert_eq!(with.loaded.count_lost(), 0, "{with:?}");
    assert_eq!(with.drains.len(), 5, "{with:?}");
    for drain in &with.drains {
        assert!(drain.starts_with("drained after "), "{with:?}");
    }
    // What shows that the pods did end under load.
    let came = |drain: &String| drain.contains("the last request arrived");
    assert!(with.drains.iter().any(came), "{with:?}");
    assert!(without.is_some(), "30 pods without a drain lost no request");
}

#[test]
fn the_busiest_pod_is_deleted_last() {
    let Some(ground) = ground() else { return };
    let options = FleetOptions {
        replicas: 3,
        // No wait is too long, so that the size goes to its minimum.
        target: "600s",
        behavior: json!({ "scaleDown": { "stabilizationWindowSeconds": 2 } }),
        ..FleetOptions::by(Algorithm::Ratio)
    };
    let fleet = Fleet::create(ground.cluster, ground.torchserve, "emptiest", &options);
    let least = |replicas: u32| {
        let patch = format!(r#"{{"spec":{{"minReplicas":{replicas}}}}}"#);
        fleet.kubectl(&[
            "patch",
            "pushscaler",
            "torchserve",
            "--type=merge",
            "-p",
            &patch,
        ]);
    };
    least(3);
    let scale = ["scale", "deployment/torchserve", "--replicas=3"];
    fleet.kubectl(&scale);
    until(Duration::from_secs(60), "3 pods report", || {
        fleet.describe().contains("3 of 3 running pods report")
    });
    let busy = fleet.pods().swap_remove(0);
    // Twice what it bears: its queue is there to be seen at any moment.
    let load = fleet.load_pod(&busy, &["20:3600"]);
    thread::sleep(Duration::from_secs(4));
    for replicas in [2, 1] {
        least(replicas);
        until(Duration::from_secs(60), "one pod less", || {
            fleet.pods().len() == replicas as usize
        });
        assert!(fleet.pods().contains(&busy), "the busy pod went");
    }
    load.stop();
    fleet.delete();
}
