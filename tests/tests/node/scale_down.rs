//! Pods that go take no request with them.

use std::thread;

use pushscale_api::Algorithm;
use pushscale_tests::fleet::{Fleet, FleetOptions};
use pushscale_tests::shrinking::{PODS, shrink};

use crate::ground;

#[test]
fn five_pods_end_under_load_and_no_request_is_lost() {
    let Some(ground) = ground() else { return };
    let ground = &ground;
    let run = |name: &str, drain: bool| {
        let options = FleetOptions {
            replicas: PODS,
            drain,
            ..FleetOptions::by(Algorithm::Ratio)
        };
        let fleet = Fleet::create(ground.rig, ground.kit, name, &options);
        let shrunk = shrink(ground.rig, &fleet, 5);
        fleet.delete();
        shrunk
    };
    let (with, without) = thread::scope(|both| {
        let with = both.spawn(|| run("drained", true));
        let without = both.spawn(|| run("undrained", false));
        (with.join().unwrap(), without.join().unwrap())
    });
    assert_eq!(with.lost(), 0, "{with:?}");
    assert_eq!(with.drains.len(), 5, "{with:?}");
    for drain in &with.drains {
        assert!(drain.starts_with("drained after "), "{with:?}");
    }
    // What shows that the pods did end under load.
    assert!(without.lost() > 0, "{without:?}");
}
