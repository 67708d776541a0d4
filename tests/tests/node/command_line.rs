//! `pushscale explain` and `simulate --from` through the API server's port-forward, which needs a kubelet.

use std::process::Output;

use pushscale_api::Algorithm;
use pushscale_tests::fleet::{Fleet, FleetOptions, TIMEOUT, until};
use pushscale_tests::programs;

use crate::shared_node;

#[test]
fn explain_simulate_and_doctor_reach_the_leader_without_flags() {
    let Some(node) = shared_node() else { return };
    let options = FleetOptions::by(Algorithm::Model);
    let fleet = Fleet::create(node.cluster, node.torchserve, "command-line", &options);
    let program = programs::command_line();
    let run = |arguments: &[&str]| -> Output {
        let mut command = node.cluster.command(program.to_str().unwrap());
        command.args(arguments).args(["-n", fleet.namespace()]);
        command.output().unwrap()
    };
    let text = |output: &Output| String::from_utf8_lossy(&output.stdout).into_owned();
    until(TIMEOUT, "decided", || {
        fleet.status().contains("AllPodsReporting")
    });

    let explained = run(&["explain", "torchserve"]);
    assert!(explained.status.success(), "{explained:?}");
    let explained = text(&explained);
    assert!(
        explained.contains(" ago by pushscale-aggregator-"),
        "{explained}"
    );
    assert!(explained.contains("Why not fewer replicas"), "{explained}");
    let past = run(&["explain", "torchserve", "--at", "0s"]);
    assert!(
        text(&past).contains("replayed from the recording of pushscale-aggregator-"),
        "{past:?}"
    );

    // Two times ten seconds of the load.
    let simulate = || run(&["simulate", "--from", "torchserve"]);
    until(TIMEOUT, "recorded", || simulate().status.success());
    let simulated = text(&simulate());
    assert!(simulated.contains("\nload history: "), "{simulated}");

    let doctor = text(&run(&["doctor", "torchserve"]));
    for expected in [
        "ok     aggregator",
        "ok     leader",
        "ok     sidecars",
        "ok     target",
    ] {
        assert!(doctor.contains(expected), "{expected}:\n{doctor}");
    }
    fleet.delete();
}
