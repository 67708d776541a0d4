//! docs/INSTALL.md.

use std::time::{Duration, Instant};

use pushscale_tests::all_objects::objects_of;
use pushscale_tests::document::Document;
use pushscale_tests::fleet::until;
use pushscale_tests::test_cluster::TestCluster;
use serde_json::Value;

use crate::fixture::{Stage, assert_injected, kubectl, start_load, until_size};

#[test]
fn every_command_of_the_page_works_and_the_replicas_follow_a_load_without_lost_requests() {
    let Some(Stage {
        cluster,
        mut reader,
        turn: _turn,
    }) = Stage::set("installing")
    else {
        return;
    };
    let page = Document::read("INSTALL.md");
    let before = objects_of(&cluster);
    reader.follow(page.section("Pushscale"), |_| {});

    // The last block takes it away again; before that, a load.
    reader.follow(page.section("A label"), |block| {
        if block == 3 {
            follows_a_load(&cluster);
        }
    });
    reader.follow(page.section("A switch"), |block| {
        if block == 1 {
            assert_injected(&cluster);
        }
    });
    // A Deployment as somebody may have it in a repository: what the chart makes, without Helm.
    let manifest = reader
        .run("helm template torchserve helm/torchserve --namespace models --values my-values.yaml");
    reader.has("deployment.yaml", &manifest);
    reader.follow(page.section("Files"), |block| {
        if block == 1 {
            assert_injected(&cluster);
        }
    });
    reader.follow(page.section("Changing and removing"), |_| {});
    // And the rendering above.
    assert_eq!(
        reader.blocks_run(),
        page.commands() + 1,
        "every block was run"
    );
    // What the definition and the ClusterRole owned is collected a moment later.
    until(Duration::from_secs(60), "as before", || {
        objects_of(&cluster) == before
    });
}

/// Up within seconds and down again, one pod by what is seen and then three at once by a lower bound; every request is
/// answered.
fn follows_a_load(cluster: &TestCluster) {
    assert_injected(cluster);
    let load = start_load(cluster, &["2:10", "25:40", "5:3600"]);
    let began = Instant::now();
    until_size(cluster, Duration::from_secs(60), "scaled up to 5", |size| {
        size == 5
    });
    let up = began.elapsed();
    until_size(cluster, Duration::from_secs(90), "scaled down", |size| {
        size < 5
    });
    let down = began.elapsed();
    let bound = r#"{"spec":{"maxReplicas":2}}"#;
    let patch = ["patch", "pushscaler/torchserve", "--type=merge", "--patch"];
    kubectl(cluster, &[&patch[..], &[bound]].concat());
    until_size(cluster, Duration::from_secs(20), "at most 2", |size| {
        size <= 2
    });
    until(Duration::from_secs(60), "drained", || {
        kubectl(cluster, &["get", "pods", "-o=name"])
            .lines()
            .count()
            <= 2
    });
    let loaded = load.stop();
    println!("5 replicas after {up:.1?}, fewer after {down:.1?}; {loaded:?}");
    assert_eq!(loaded.count_lost(), 0, "{loaded:?}");
    assert_injected(cluster);
    let scaler = kubectl(cluster, &["get", "pushscaler/torchserve", "-o=json"]);
    let scaler: Value = serde_json::from_str(&scaler).unwrap();
    let pods = &scaler["status"]["pods"];
    assert!(
        pods["fresh"].as_u64().is_some_and(|fresh| fresh > 0),
        "{scaler:#}"
    );
}
