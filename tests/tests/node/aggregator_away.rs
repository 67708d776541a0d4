//! Killing the aggregator loses nothing but seconds.

use std::time::Duration;

use pushscale_tests::fleet::{Fleet, FleetOptions, until};

use crate::ground;

#[test]
fn a_killed_aggregator_is_replaced_and_the_new_one_scales() {
    let Some(ground) = ground() else { return };
    let fleet = Fleet::create(ground.rig, ground.kit, "away", &FleetOptions::default());
    let aggregator = "-l=app.kubernetes.io/name=pushscale-aggregator";
    let pod = || {
        let name = "-o=jsonpath={.items[0].metadata.name}";
        ground
            .rig
            .kubectl(&["-n", "pushscale", "get", "pods", aggregator, name])
            .unwrap()
    };
    let before = pod();
    ground
        .rig
        .kubectl(&[
            "-n",
            "pushscale",
            "delete",
            "pod",
            &before,
            "--grace-period=0",
            "--force",
        ])
        .unwrap();
    let report = ground.rig.logs_dir().join("away.json");
    let load = fleet.load(&["25:30"], &report);
    until(Duration::from_secs(60), "scaled up by the new one", || {
        fleet.replicas() >= 4
    });
    assert_ne!(pod(), before);

    // Killed again while the fleet is large: the next one must not shrink it before it knows enough.
    ground
        .rig
        .kubectl(&[
            "-n",
            "pushscale",
            "delete",
            "pod",
            &pod(),
            "--grace-period=0",
            "--force",
        ])
        .unwrap();
    let at_the_kill = fleet.replicas();
    for _ in 0..10 {
        assert!(fleet.replicas() >= at_the_kill, "{}", fleet.describe());
        std::thread::sleep(Duration::from_secs(1));
    }
    load.finish();
    until(Duration::from_secs(120), "down again", || {
        fleet.replicas() == 1
    });
    fleet.delete();
}
