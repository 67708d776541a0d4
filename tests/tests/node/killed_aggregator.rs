//! A killed aggregator costs seconds, and nothing else.

use std::time::{Duration, Instant};

use pushscale_api::Algorithm;
use pushscale_tests::fleet::{Fleet, FleetOptions, TIMEOUT, aggregator, until};

use crate::own_node;

#[test]
fn a_killed_aggregator_is_replaced_and_its_successor_scales() {
    let Some(node) = own_node() else { return };
    // One aggregator scales both.
    let fleets = [Algorithm::Model, Algorithm::Ratio].map(|algorithm| {
        let name = format!("away-{algorithm:?}").to_lowercase();
        Fleet::create(
            &node.cluster,
            &node.torchserve,
            &name,
            &FleetOptions::by(algorithm),
        )
    });
    let pod = || aggregator(&node.cluster, "/metadata/name");
    let kill = || {
        let pod = pod();
        let now = ["--grace-period=0", "--force"];
        let mut delete = vec!["-n", "pushscale", "delete", "pod", pod.as_str()];
        delete.extend(now);
        node.cluster.kubectl(&delete).unwrap();
        pod
    };
    let killed = kill();
    let loads = fleets.each_ref().map(|fleet| fleet.load(&["15:3600"]));
    until(TIMEOUT, "scaled up by the new one", || {
        // 15 requests/s keep 1.6 workers busy, and with two of them requests wait longer than the target.
        fleets.iter().all(|fleet| fleet.replicas() >= 3)
    });
    assert_ne!(pod(), killed);

    // Killed again while the fleets are large: its successor holds the replicas that it finds for the stabilization
    // window of 15 s.
    kill();
    let killed_at = Instant::now();
    let at_the_kill = fleets.each_ref().map(Fleet::replicas);
    while killed_at.elapsed() < Duration::from_secs(10) {
        for (fleet, before) in fleets.iter().zip(at_the_kill) {
            let now = fleet.replicas();
            // A slow machine may take this reading after the window.
            let is_held = killed_at.elapsed() < Duration::from_secs(15);
            assert!(now >= before || !is_held, "{}", fleet.describe());
        }
        std::thread::sleep(Duration::from_secs(1));
    }
    for load in loads {
        load.stop();
    }
    until(TIMEOUT, "scaled down", || {
        let mut sizes = fleets.iter().zip(at_the_kill);
        sizes.all(|(fleet, before)| fleet.replicas() < before)
    });
}
