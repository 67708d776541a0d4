//! The whole loop with one pod: load comes, the size goes up; load goes, the size comes down.

use std::time::Duration;

use pushscale_api::Algorithm;
use pushscale_testkit::MetricsMode;
use pushscale_testkit::emulated::{EmulatedServer, ModelOptions};
use pushscale_testkit::load::RunningLoad;
use pushscale_tests::fake_cluster::FakeCluster;
use pushscale_tests::http;
use pushscale_tests::sidecar::TestSidecar;
use tokio::time::timeout;

use crate::support::{SOON, load, server, spec};

/// A scaler by this algorithm over `replicas`, of which one pod is there.
async fn world(algorithm: Algorithm, replicas: u32) -> FakeCluster {
    let world = FakeCluster::start_by(&spec(algorithm), replicas).await;
    world.add_pod("torchserve-0").await;
    world
}

async fn sidecar(server: &EmulatedServer, world: &FakeCluster) -> TestSidecar {
    let ports = server.addresses();
    let aggregator = world.push.to_string();
    TestSidecar::start("torchserve-0", ports.metrics, ports.management, &aggregator).await
}

/// Waits until the aggregator has told this.
async fn until_told(world: &FakeCluster, what: &str) {
    let mut page = String::new();
    let told = async {
        while !page.contains(what) {
            tokio::time::sleep(Duration::from_millis(100)).await;
            page = http::get(world.admin, "/debug/scalers").await.body;
        }
    };
    let told = timeout(SOON, told).await;
    assert!(told.is_ok(), "{what:?} is not told:\n{page}");
}

#[tokio::test]
async fn ratio_scales_up_in_an_overload_and_down_after_it() {
    goes_up_and_down(Algorithm::Ratio, "queue latency: mean of 1 is").await;
}

#[tokio::test]
async fn model_scales_up_in_an_overload_and_down_after_it() {
    goes_up_and_down(Algorithm::Model, "requests than usual are in the pods").await;
}

async fn goes_up_and_down(algorithm: Algorithm, why: &str) {
    let mut world = world(algorithm, 1).await;
    let server = server().await;
    let sidecar = sidecar(&server, &world).await;
    let load = load(&server, 25.0, 60.0);
    let up = world.until_size(5, SOON).await;
    assert!(up.is_sorted(), "{algorithm:?}: {up:?}");
    until_told(&world, why).await;

    // The one pod takes all the load. Once that ends, five pods are not needed.
    load.stopper().stop();
    load.finish().await;
    let (from, to) = world.next_write(SOON).await;
    assert!(from == 5 && to < 5, "{algorithm:?}: {from} → {to}");

    // The next decision finds the size that was written.
    until_told(&world, &format!("\"currentReplicas\": {to},")).await;
    sidecar.end().await;
    world.end().await;
}

#[tokio::test]
async fn ratio_never_scales_down_while_a_server_is_not_reporting() {
    silence_holds(Algorithm::Ratio).await;
}

#[tokio::test]
async fn model_never_scales_down_while_a_server_is_not_reporting() {
    silence_holds(Algorithm::Model).await;
}

async fn silence_holds(algorithm: Algorithm) {
    for way in ["frozen", "log mode", "refusing"] {
        let mut world = world(algorithm, 3).await;
        let server = server().await;
        match way {
            "frozen" => server.freeze(true),
            "log mode" => server.set_metrics_mode(MetricsMode::Log),
            _ => server.refuse(true),
        }
        let sidecar = sidecar(&server, &world).await;
        let admin = world.admin;
        // Longer than the window after which an idle fleet of three goes down.
        world
            .no_write_during(async {
                for _ in 0..30 {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                let page = http::get(admin, "/debug/scalers").await.body;
                assert!(page.contains("too little is known"), "{way}: {page}");
            })
            .await;

        // And to show that the same fleet would have gone down had it spoken:
        server.freeze(false);
        server.set_metrics_mode(MetricsMode::Prometheus);
        server.refuse(false);
        let load = load(&server, 2.0, 60.0);
        let (from, to) = world.next_write(SOON).await;
        assert!(from == 3 && to < 3, "{algorithm:?}, {way}: {from} → {to}");
        load.stopper().stop();
        sidecar.end().await;
        world.end().await;
    }
}

#[tokio::test]
async fn ratio_scales_up_for_a_stuck_worker_although_no_counter_moves() {
    let (mut world, sidecar, load, _server) = stuck(Algorithm::Ratio).await;
    let (from, to) = world.next_write(SOON).await;
    assert!(from == 1 && to > 1, "{from} → {to}");
    load.stopper().stop();
    sidecar.end().await;
    world.end().await;
}

/// More pods of what answers nobody would help nobody: the queue model says so first.
#[tokio::test]
async fn model_reports_a_stuck_worker() {
    let (world, sidecar, load, _server) = stuck(Algorithm::Model).await;
    until_told(&world, "NoRequestsCompleted").await;
    // And goes on being told: readings come at any place in the seconds that are looked at.
    for _ in 0..30 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let page = http::get(world.admin, "/debug/scalers").await.body;
        assert!(!page.contains("RequestsCompleting"), "{page}");
    }
    load.stopper().stop();
    sidecar.end().await;
    world.end().await;
}

/// A server that answered until its only worker got stuck.
async fn stuck(algorithm: Algorithm) -> (FakeCluster, TestSidecar, RunningLoad, EmulatedServer) {
    let world = world(algorithm, 1).await;
    let server = server().await;
    let sidecar = sidecar(&server, &world).await;
    let load = load(&server, 2.0, 60.0);
    until_told(&world, "ValidMetricFound").await;
    server.stick_workers(1);
    http::until(SOON, || async {
        let reading = http::get(sidecar.address, "/reading").await.body;
        reading.contains("\"stalled\"")
    })
    .await;
    (world, sidecar, load, server)
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
    let mut world = world(algorithm, 1).await;
    let server = server().await;
    let sidecar = sidecar(&server, &world).await;
    let model = ModelOptions::default().name;
    assert_eq!(server.send_grpc(&model, 5), 5);
    until_told(&world, "ValidMetricFound").await;
    assert_eq!(server.send_grpc(&model, 90), 90);
    let (from, to) = world.next_write(SOON).await;
    assert!(from == 1 && to > 1, "{algorithm:?}: {from} → {to}");
    sidecar.end().await;
    world.end().await;
}

#[tokio::test]
async fn the_sidecar_serves_its_readings_while_the_aggregator_is_unreachable() {
    let server = server().await;
    let ports = server.addresses();
    let sidecar = TestSidecar::start_unheard(&ports).await;
    http::until(SOON, || async {
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
    http::until(SOON, || async {
        let metrics = http::get(sidecar.address, "/metrics").await.body;
        metrics.contains("pushscale_sidecar_pushes_total{outcome=\"unreachable\"}")
    })
    .await;
    assert_eq!(http::get(sidecar.address, "/nothing").await.status, 404);
    sidecar.end().await;
}
