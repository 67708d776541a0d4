//! docs/EXTERNAL-METRICS.md, without KEDA: the published HPA scales real TorchServe pods, without Prometheus and
//! without an adapter.

use pushscale_api::Algorithm;
use pushscale_tests::document::Document;
use pushscale_tests::fleet::{Fleet, FleetOptions, TIMEOUT, aggregator, until};

use serde_json::json;

use crate::chart_node::ChartNode;

#[test]
fn the_published_hpa_scales_torchserve_up_and_down() {
    let Some(node) = ChartNode::start(&json!({})) else {
        return;
    };
    let mut reader = node.reader("published-hpa");
    let page = Document::read("EXTERNAL-METRICS.md");
    let options = FleetOptions {
        scaled: false,
        ..ChartNode::fleet(Algorithm::Model)
    };
    let fleet = Fleet::create(&node.cluster, &node.torchserve, "models", &options);
    let outputs = reader.follow(page.section("Enabling it"), |_| {});
    let listed = outputs.concat();
    assert!(
        listed.contains(r#""name":"ts_queue_latency_microseconds""#),
        "{listed}"
    );
    reader.follow(page.section("Selecting the pods"), |_| {});
    until(TIMEOUT, "reported", || {
        fleet.status().contains("1 of 1 running pods report")
    });
    let load = fleet.load(&["2:5", "25:3600"]);
    reader.follow(page.section("The published HPA"), |_| {});
    // 25 requests/s keep 2.6 workers busy, and wait longer than 7 ms at every size.
    until(TIMEOUT, "scaled up", || fleet.replicas() == 5);
    let describe = || fleet.kubectl(&["describe", "hpa", "torchserve"]);
    until(TIMEOUT, "described", || {
        let described = describe();
        let mut lines = described.lines();
        let is_measured = lines.any(|line| {
            line.contains(r#""ts_queue_latency_microseconds" (target value):"#)
                && line.ends_with(" / 7k")
                && !line.contains("<unknown>")
        });
        is_measured && described.contains("5 current / 5 desired")
    });
    let described = describe();
    for expected in [
        "ValidMetricFound",
        "SuccessfulRescale",
        "external metric ts_queue_latency_microseconds(nil) above target",
    ] {
        assert!(described.contains(expected), "{expected}:\n{described}");
    }
    load.stop();
    // As published, the HPA waits for five minutes.
    let behavior = r#"{"spec":{"behavior":{"scaleDown":{"stabilizationWindowSeconds":0}}}}"#;
    fleet.kubectl(&["patch", "hpa", "torchserve", "--type=merge", "-p", behavior]);
    until(TIMEOUT, "scaled down", || fleet.replicas() == 1);
    let described = describe();
    assert!(
        described.contains("reason: All metrics below target"),
        "{described}"
    );
    keeps_the_load_history(&node);
}

/// New aggregators take over what the former ones recorded.
fn keeps_the_load_history(node: &ChartNode) {
    let pod = || aggregator(&node.cluster, "/metadata/name");
    let first_time = || {
        let pod = format!("/api/v1/namespaces/pushscale/pods/{}:8491/proxy", pod());
        let path = format!("{pod}/debug/scalers/models/torchserve/load.csv");
        let csv = node.cluster.kubectl(&["get", "--raw", &path]).ok()?;
        csv.lines().nth(1)?.split(',').nth(2).map(str::to_owned)
    };
    let (former, start) = (pod(), first_time().unwrap());
    for arguments in [&["restart"][..], &["status", "--timeout=300s"]] {
        let rollout = ["-n", "pushscale", "rollout"];
        let deployment = ["deployment/pushscale-aggregator"];
        let arguments = [&rollout[..], arguments, &deployment].concat();
        node.cluster.kubectl(&arguments).unwrap();
    }
    until(TIMEOUT, "took over", || {
        pod() != former && first_time().is_some_and(|time| time <= start)
    });
}
