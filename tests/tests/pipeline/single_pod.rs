//! The whole control loop with one pod: the replicas follow the load up and down.

use std::time::Duration;

use pushscale_api::Algorithm;
use pushscale_testkit::MetricsMode;
use pushscale_testkit::emulated::{EmulatedServer, ModelOptions};
use pushscale_testkit::load::RunningLoad;
use pushscale_tests::fake_cluster::FakeCluster;
use pushscale_tests::http;
use pushscale_tests::sidecar::TestSidecar;
use tokio::time::timeout;

use crate::support::{TIMEOUT, accepted, load, server, spec};

/// Starts a PushScaler with this algorithm and a target of `replicas`, of which one pod exists.
async fn cluster(algorithm: Algorithm, replicas: u32) -> FakeCluster {
    let cluster = FakeCluster::start_with_spec(&spec(algorithm), replicas).await;
    cluster.add_pod("torchserve-0").await;
    cluster
}

async fn sidecar(server: &EmulatedServer, cluster: &FakeCluster) -> TestSidecar {
    let ports = server.addresses();
    let aggregator = cluster.push.to_string();
    TestSidecar::start("torchserve-0", ports.metrics, ports.management, &aggregator).await
}

/// Waits until the debug page contains this text.
async fn until_page_contains(cluster: &FakeCluster, what: &str) {
    let mut page = String::new();
    let found = async {
        while !page.contains(what) {
            tokio::time::sleep(Duration::from_millis(100)).await;
            page = http::get(cluster.admin, "/debug/scalers").await.body;
        }
    };
    let found = timeout(TIMEOUT, found).await;
    assert!(found.is_ok(), "{what:?} is not on the page:\n{page}");
}

#[tokio::test]
async fn ratio_scales_up_in_an_overload_and_down_after_it() {
    scales_up_and_down(Algorithm::Ratio, " over 1 pod, target 1 s, ratio ").await;
}

#[tokio::test]
async fn model_scales_up_in_an_overload_and_down_after_it() {
    scales_up_and_down(Algorithm::Model, "requests more than usual").await;
}

async fn scales_up_and_down(algorithm: Algorithm, why: &str) {
    let mut cluster = cluster(algorithm, 1).await;
    let server = server().await;
    let sidecar = sidecar(&server, &cluster).await;
    let load = load(&server, 25.0, 600.0);
    let up = cluster.until_replicas(5, TIMEOUT).await;
    assert!(up.is_sorted(), "{algorithm:?}: {up:?}");
    until_page_contains(&cluster, why).await;

    // The one pod takes all the load. Once that ends, five pods are not needed.
    load.stopper().stop();
    load.finish().await;
    let (from, to) = cluster.next_write(TIMEOUT).await;
    assert!(from == 5 && to < 5, "{algorithm:?}: {from} → {to}");

    // The next decision sees the written replicas.
    until_page_contains(&cluster, &format!("\"currentReplicas\": {to},")).await;
    sidecar.end().await;
    cluster.end().await;
}

#[tokio::test]
async fn ratio_never_scales_down_while_a_server_is_not_reporting() {
    not_reporting_holds(Algorithm::Ratio).await;
}

#[tokio::test]
async fn model_never_scales_down_while_a_server_is_not_reporting() {
    not_reporting_holds(Algorithm::Model).await;
}

async fn not_reporting_holds(algorithm: Algorithm) {
    for way in ["frozen", "log mode", "refusing"] {
        let mut cluster = cluster(algorithm, 3).await;
        let server = server().await;
        match way {
            "frozen" => server.freeze(true),
            "log mode" => server.set_metrics_mode(MetricsMode::Log),
            _ => server.refuse(true),
        }
        let sidecar = sidecar(&server, &cluster).await;
        until_page_contains(&cluster, "not enough data").await;
        let admin = cluster.admin;
        // Longer than the window after which an idle fleet of three is scaled down: one that starts now and reports is
        // scaled down meanwhile.
        cluster
            .assert_no_write_during(async {
                scale_down_a_reporting_fleet(algorithm).await;
                let page = http::get(admin, "/debug/scalers").await.body;
                assert!(page.contains("not enough data"), "{way}: {page}");
            })
            .await;

        // Check that the same fleet is scaled down once it reports:
        server.freeze(false);
        server.set_metrics_mode(MetricsMode::Prometheus);
        server.refuse(false);
        let load = load(&server, 2.0, 600.0);
        let (from, to) = cluster.next_write(TIMEOUT).await;
        assert!(from == 3 && to < 3, "{algorithm:?}, {way}: {from} → {to}");
        load.stopper().stop();
        sidecar.end().await;
        cluster.end().await;
    }
}

/// Waits until another fleet of three, which has hardly any load and reports, is scaled down.
async fn scale_down_a_reporting_fleet(algorithm: Algorithm) {
    let mut cluster = cluster(algorithm, 3).await;
    let server = server().await;
    let sidecar = sidecar(&server, &cluster).await;
    let load = load(&server, 2.0, 600.0);
    let (from, to) = cluster.next_write(TIMEOUT).await;
    assert!(from == 3 && to < 3, "{algorithm:?}: {from} → {to}");
    load.stopper().stop();
    sidecar.end().await;
    cluster.end().await;
}

#[tokio::test]
async fn ratio_scales_up_for_a_stuck_worker_although_no_counter_moves() {
    let (mut cluster, sidecar, load, _server) = stuck(Algorithm::Ratio).await;
    let (from, to) = cluster.next_write(TIMEOUT).await;
    assert!(from == 1 && to > 1, "{from} → {to}");
    load.stopper().stop();
    sidecar.end().await;
    cluster.end().await;
}

/// More pods would not help, since none completes requests: the queueing model reports that.
#[tokio::test]
async fn model_reports_a_stuck_worker() {
    let (cluster, sidecar, load, _server) = stuck(Algorithm::Model).await;
    until_page_contains(&cluster, "NoRequestsCompleted").await;
    // The condition stays while 30 more readings arrive, at any time within the interval.
    let before = accepted(&cluster).await;
    http::until(TIMEOUT, || async {
        let page = http::get(cluster.admin, "/debug/scalers").await.body;
        assert!(!page.contains("RequestsCompleting"), "{page}");
        accepted(&cluster).await >= before + 30
    })
    .await;
    load.stopper().stop();
    sidecar.end().await;
    cluster.end().await;
}

/// Returns a server that worked until its only worker got stuck.
async fn stuck(algorithm: Algorithm) -> (FakeCluster, TestSidecar, RunningLoad, EmulatedServer) {
    let cluster = cluster(algorithm, 1).await;
    let server = server().await;
    let sidecar = sidecar(&server, &cluster).await;
    let load = load(&server, 2.0, 600.0);
    until_page_contains(&cluster, "ValidMetricFound").await;
    server.block_workers(1);
    http::until(TIMEOUT, || async {
        let reading = http::get(sidecar.address, "/reading").await.body;
        reading.contains("\"stalled\"")
    })
    .await;
    (cluster, sidecar, load, server)
}

#[tokio::test]
async fn ratio_counts_grpc_requests_although_the_latency_counters_ignore_them() {
    grpc_counts(Algorithm::Ratio).await;
}

#[tokio::test]
async fn model_counts_grpc_requests_although_the_latency_counters_ignore_them() {
    grpc_counts(Algorithm::Model).await;
}

async fn grpc_counts(algorithm: Algorithm) {
    let mut cluster = cluster(algorithm, 1).await;
    let server = server().await;
    let sidecar = sidecar(&server, &cluster).await;
    let model = ModelOptions::default().name;
    assert_eq!(server.send_grpc(&model, 5), 5);
    until_page_contains(&cluster, "ValidMetricFound").await;
    // Twice the capacity, for as long as it takes: a burst that is served before another pod could start is no reason
    // to scale.
    let overload = async {
        loop {
            server.send_grpc(&model, 5);
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
    };
    let (from, to) = tokio::select! {
        write = cluster.next_write(TIMEOUT) => write,
        () = overload => unreachable!("it never ends"),
    };
    assert!(from == 1 && to > 1, "{algorithm:?}: {from} → {to}");
    sidecar.end().await;
    cluster.end().await;
}

#[tokio::test]
async fn the_sidecar_serves_its_readings_while_the_aggregator_is_unreachable() {
    let server = server().await;
    let ports = server.addresses();
    let sidecar = TestSidecar::start_without_aggregator(&ports).await;
    http::until(TIMEOUT, || async {
        http::get(sidecar.address, "/ready").await.status == 200
    })
    .await;
    assert_eq!(http::get(sidecar.address, "/live").await.status, 200);
    let reading = http::get(sidecar.address, "/reading").await;
    assert!(
        reading.body.contains("\"noSamplesYet\""),
        "{}",
        reading.body
    );
    http::until(TIMEOUT, || async {
        let metrics = http::get(sidecar.address, "/metrics").await.body;
        metrics.contains("pushscale_sidecar_pushes_total{outcome=\"unreachable\"}")
    })
    .await;
    assert_eq!(http::get(sidecar.address, "/nothing").await.status, 404);
    sidecar.end().await;
}
