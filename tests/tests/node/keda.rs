//! docs/EXTERNAL-METRICS.md, "KEDA": the operator of KEDA, installed as a user installs it, scales real TorchServe pods
//! by the external scaler of the chart.

use pushscale_api::Algorithm;
use pushscale_tests::document::Document;
use pushscale_tests::fleet::{Fleet, FleetOptions, TIMEOUT, until};
use pushscale_tests::keda::Release;
use pushscale_tests::programs;
use serde_json::json;

use crate::chart_node::ChartNode;

#[test]
fn a_scaled_object_starts_torchserve_and_follows_its_load_up_and_down() {
    let Some(release) = Release::for_test() else {
        return;
    };
    // KEDA serves an API of the whole cluster, so the other tests have another one.
    let Some(node) = ChartNode::start(&json!({})) else {
        return;
    };
    let mut reader = node.reader("keda");
    release.install(&node.cluster);
    let options = FleetOptions {
        replicas: 0,
        scaled: false,
        ..ChartNode::fleet(Algorithm::Model)
    };
    let fleet = Fleet::create(&node.cluster, &node.torchserve, "models", &options);
    reader.follow(
        Document::read("EXTERNAL-METRICS.md").section("KEDA"),
        |_| {},
    );
    until(TIMEOUT, "started", || fleet.replicas() == 1);
    until(TIMEOUT, "reported", || {
        fleet.status().contains("1 of 1 running pods report")
    });
    // The desired replicas are unknown until a request was timed.
    let load = fleet.load(&["2:3600"]);
    let hpa = || fleet.kubectl(&["get", "hpa", "keda-hpa-torchserve"]);
    until(TIMEOUT, "followed", || hpa().contains("1/1 (avg)"));
    load.stop();

    // 25 requests/s keep 2.6 workers busy, and with three of them requests wait longer than the target.
    let load = fleet.load(&["25:3600"]);
    until(TIMEOUT, "scaled up", || fleet.replicas() >= 4);
    load.stop();
    // The documented PushScaler holds the replicas longer than a test should last.
    fleet.patch(r#"{"behavior":{"scaleDown":{"stabilizationWindowSeconds":0}}}"#);
    until(TIMEOUT, "scaled down", || fleet.replicas() < 4);

    fleet.kubectl(&["scale", "deployment", "torchserve", "--replicas=0"]);
    until(TIMEOUT, "started again", || fleet.replicas() == 1);
    until(TIMEOUT, "no pod but the new one", || {
        fleet.pods().len() == 1
    });

    fleet.patch(r#"{"mode":"Apply"}"#);
    let mut doctor = node
        .cluster
        .command(programs::command_line().to_str().unwrap());
    doctor.args(["doctor", "torchserve", "-n", "models"]);
    let output = doctor.output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let found = String::from_utf8_lossy(&output.stdout).into_owned();
    let finding = "KEDA's ScaledObject torchserve also scales Deployment/torchserve";
    assert!(found.contains(finding), "{found}");
}
