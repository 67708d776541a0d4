//! Decisions that an aggregator exports as JSON lines are replayed without a difference.

use pushscale_api::Algorithm;
use pushscale_cli::replay::{read_lines, replay_recording};
use pushscale_tests::fake_cluster::FakeCluster;
use pushscale_tests::http;
use pushscale_tests::sidecar::TestSidecar;

use crate::support::{TIMEOUT, load, server, spec};

#[tokio::test]
async fn decisions_of_a_running_aggregator_replay_without_differences() {
    for algorithm in [Algorithm::Model, Algorithm::Ratio] {
        let mut cluster = FakeCluster::start_with_spec(&spec(algorithm), 1).await;
        cluster.add_pod("torchserve-0").await;
        let server = server().await;
        let ports = server.addresses();
        let aggregator = cluster.push.to_string();
        let sidecar =
            TestSidecar::start("torchserve-0", ports.metrics, ports.management, &aggregator).await;
        let load = load(&server, 25.0, 10.0);
        let (from, to) = cluster.next_write(TIMEOUT).await;
        assert!(from == 1 && to > 1, "{algorithm:?}: {from} → {to}");
        load.stopper().stop();

        let page = "/debug/scalers/models/torchserve/decisions.jsonl";
        let recorded = http::get(cluster.admin, page).await;
        assert_eq!(recorded.status, 200, "{algorithm:?}: {}", recorded.body);
        let mut wrote = false;
        let mut decisions = 0;
        for line in read_lines(recorded.body.as_bytes()) {
            let (line, recording) = line.unwrap();
            let deviation = replay_recording(line, &recording, |decision| {
                decisions += 1;
                wrote |= decision.desired() == Some(to);
            });
            let deviation = deviation.unwrap();
            if let Some(deviation) = deviation {
                panic!("{algorithm:?}: {deviation}");
            }
        }
        assert!(wrote, "{algorithm:?}: the written decision is missing");
        assert!(decisions > 1, "{algorithm:?}: {decisions} decisions");

        // Check that a difference would be found: the same inputs with another spec.
        let other = recorded
            .body
            .replace("\"maxReplicas\":5", "\"maxReplicas\":2");
        let (line, recording) = read_lines(other.as_bytes()).next().unwrap().unwrap();
        let deviation = replay_recording(line, &recording, |_| {}).unwrap();
        assert!(deviation.is_some(), "{algorithm:?}: no deviation");
        sidecar.end().await;
        cluster.end().await;
    }
}

#[tokio::test]
async fn an_unknown_scaler_has_no_decisions() {
    let cluster = FakeCluster::start_with_spec(&spec(Algorithm::Model), 1).await;
    for page in [
        "/debug/scalers/models/unknown/decisions.jsonl",
        "/debug/scalers/decisions.jsonl",
        "/debug/scalers/models/torchserve/decisions",
    ] {
        assert_eq!(http::get(cluster.admin, page).await.status, 404, "{page}");
    }
    cluster.end().await;
}
