//! The whole loop with one pod: load comes, the size goes up; load goes, the size comes down.

use std::time::Duration;

use pushscale_tests::http;
use pushscale_tests::sidecar::TestSidecar;
use pushscale_tests::small_world::SmallWorld;

use crate::support::{SOON, load, policy, server};

#[tokio::test]
async fn an_overload_raises_the_size_and_its_end_lowers_it() {
    let mut world = SmallWorld::start(policy(), 1).await;
    world.add_pod("torchserve-0").await;
    let server = server().await;
    let ports = server.addresses();
    let aggregator = world.push.to_string();
    let sidecar =
        TestSidecar::start("torchserve-0", ports.metrics, ports.management, &aggregator).await;

    let load = load(&server, 25.0, 3.0);
    let up = world.next_write(SOON).await;
    assert_eq!(up, (1, 4), "at most double, or 4");

    // The one pod takes all the load that there is; once it is done, nobody needs four.
    load.finish().await;
    let down = world.next_write(SOON).await;
    assert_eq!(down, (4, 1));

    // The next decision finds the size that was written.
    let scalers = || async {
        let page = http::get(world.admin, "/debug/scalers").await;
        serde_json::from_str::<serde_json::Value>(&page.body).unwrap()
    };
    http::until(SOON, || async {
        scalers().await[0]["decision"]["currentReplicas"] == 1
    })
    .await;
    let scalers = scalers().await;
    let told = scalers[0]["history"].to_string();
    assert!(told.contains("scale 1 → 4 replicas"), "{told}");
    assert!(told.contains("faster than scaling up is allowed"), "{told}");
    sidecar.end().await;
    world.end().await;
}

#[tokio::test]
async fn a_server_that_falls_silent_never_lowers_the_size() {
    for way in ["frozen", "log mode", "refusing"] {
        let mut world = SmallWorld::start(policy(), 3).await;
        world.add_pod("torchserve-0").await;
        let server = server().await;
        match way {
            "frozen" => server.freeze(true),
            "log mode" => server.set_metrics_mode(pushscale_simulator::MetricsMode::Log),
            _ => server.refuse(true),
        }
        let ports = server.addresses();
        let aggregator = world.push.to_string();
        let sidecar =
            TestSidecar::start("torchserve-0", ports.metrics, ports.management, &aggregator).await;
        let admin = world.admin;
        // Longer than the window after which an idle fleet of three goes down to one.
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
        server.set_metrics_mode(pushscale_simulator::MetricsMode::Prometheus);
        server.refuse(false);
        assert_eq!(world.next_write(SOON).await, (3, 1), "{way}");
        sidecar.end().await;
        world.end().await;
    }
}

#[tokio::test]
async fn a_stuck_worker_raises_the_size_although_no_counter_moves() {
    let mut world = SmallWorld::start(policy(), 1).await;
    world.add_pod("torchserve-0").await;
    let server = server().await;
    server.stick_workers(1);
    let ports = server.addresses();
    let aggregator = world.push.to_string();
    let sidecar =
        TestSidecar::start("torchserve-0", ports.metrics, ports.management, &aggregator).await;
    let load = load(&server, 5.0, 6.0);
    assert_eq!(world.next_write(SOON).await, (1, 4));
    let reading = http::get(sidecar.address, "/reading").await.body;
    assert!(reading.contains("\"stalled\""), "{reading}");
    load.stopper().stop();
    sidecar.end().await;
    world.end().await;
}

#[tokio::test]
async fn grpc_requests_count_although_the_latency_counters_ignore_them() {
    let mut world = SmallWorld::start(policy(), 1).await;
    world.add_pod("torchserve-0").await;
    let server = server().await;
    let ports = server.addresses();
    let aggregator = world.push.to_string();
    let sidecar =
        TestSidecar::start("torchserve-0", ports.metrics, ports.management, &aggregator).await;
    let model = pushscale_simulator::emulated::ModelOptions::default().name;
    assert_eq!(server.send_grpc(&model, 40), 40);
    assert_eq!(world.next_write(SOON).await, (1, 4));
    sidecar.end().await;
    world.end().await;
}

#[tokio::test]
async fn the_sidecar_tells_what_it_sees_even_while_nobody_listens() {
    let server = server().await;
    let ports = server.addresses();
    // Port 1 of loopback: nobody is there.
    let sidecar = TestSidecar::start(
        "torchserve-0",
        ports.metrics,
        ports.management,
        "127.0.0.1:1",
    )
    .await;
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
        metrics.contains("pushscale_sidecar_pushes_total{outcome=\"Unreachable\"}")
    })
    .await;
    assert_eq!(http::get(sidecar.address, "/nothing").await.status, 404);
    sidecar.end().await;
}
