//! `/drain` answers once the server is idle.

use std::time::{Duration, Instant};

use pushscale_tests::http;
use pushscale_tests::sidecar::TestSidecar;

use crate::support::{SOON, load, server};

#[tokio::test]
async fn the_drain_ends_after_the_last_request_completed() {
    let server = server().await;
    let sidecar = TestSidecar::start_without_aggregator(&server.addresses()).await;
    // 60 requests at once, for a worker that completes ten per second: a delay of the test does not matter.
    let load = load(&server, 600.0, 0.1);
    http::until(SOON, || async { server.pending("sleepy") > 30 }).await;
    let began = Instant::now();
    let (first, second) = tokio::join!(
        http::get(sidecar.address, "/drain"),
        http::get(sidecar.address, "/drain"),
    );
    let took = began.elapsed();
    assert_eq!(server.pending("sleepy"), 0);
    for answer in [first, second] {
        assert_eq!(answer.status, 200, "{answer:?}");
        assert!(answer.body.starts_with("drained after "), "{answer:?}");
    }
    assert!(took > Duration::from_secs(3), "{took:?}");
    // A request that was still waiting would be lost now.
    drop(server);
    let report = load.finish().await;
    assert_eq!(
        report
            .samples
            .iter()
            .filter(|sample| sample.outcome.failed())
            .count(),
        0
    );
    let metrics = http::get(sidecar.address, "/metrics").await.body;
    let counted = "pushscale_sidecar_drains_total{outcome=\"drained\"} 2";
    assert!(metrics.contains(counted), "{metrics}");
    sidecar.end().await;
}

#[tokio::test]
async fn a_drain_ends_at_once_if_the_server_is_not_running() {
    let server = server().await;
    let sidecar = TestSidecar::start_without_aggregator(&server.addresses()).await;
    server.refuse(true);
    let answer = http::get(sidecar.address, "/drain").await;
    assert!(answer.body.starts_with("nothing to drain"), "{answer:?}");
    sidecar.end().await;
}

#[tokio::test]
async fn shutdown_ends_the_drain_of_a_frozen_server() {
    let server = server().await;
    let sidecar = TestSidecar::start_without_aggregator(&server.addresses()).await;
    server.freeze(true);
    let address = sidecar.address;
    let asked = tokio::spawn(async move { http::get(address, "/drain").await });
    // The request must have been read. Connections are accepted in order, so it was if a later one is answered.
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(http::get(address, "/live").await.status, 200);
    assert!(!asked.is_finished());
    sidecar.end().await;
    let answer = asked.await.unwrap();
    assert!(
        answer.body.contains("the sidecar is shutting down"),
        "{answer:?}"
    );
}
