//! `/drain` answers once the server is idle.

use std::time::{Duration, Instant};

use pushscale_tests::http;
use pushscale_tests::sidecar::TestSidecar;

use crate::support::{TIMEOUT, load, scrapes, server};

/// Nothing listens on port 1 of loopback.
const UNREACHABLE: &str = "127.0.0.1:1";

#[tokio::test]
async fn the_drain_ends_after_the_last_request_completed() {
    const REQUESTS: u32 = 90;
    let server = server().await;
    let settings = [("PUSHSCALE_SIDECAR_DRAIN_DEADLINE", "10m")];
    let addresses = server.addresses();
    let sidecar = TestSidecar::start_with("torchserve-0", &addresses, UNREACHABLE, &settings).await;
    // The worker keeps its request until both drains have been requested.
    server.block_workers(1);
    let load = load(&server, f64::from(REQUESTS) * 10.0, 0.1);
    http::until(TIMEOUT, || async {
        server.waiting("sleepy") == REQUESTS as usize - 1
    })
    .await;
    let address = sidecar.address;
    let [first, second] = [(); 2].map(|()| {
        let drained = async move { (http::get(address, "/drain").await, Instant::now()) };
        tokio::spawn(drained)
    });
    // The first response lets both tasks connect, and connections are accepted in order.
    for _ in 0..2 {
        assert_eq!(http::get(address, "/live").await.status, 200);
    }
    let released = Instant::now();
    server.block_workers(0);
    let (first, first_at) = first.await.unwrap();
    assert_eq!(server.waiting("sleepy"), 0);
    let (second, second_at) = second.await.unwrap();
    for answer in [first, second] {
        assert_eq!(answer.status, 200, "{answer:?}");
        assert!(answer.body.starts_with("drained after "), "{answer:?}");
    }
    // The worker takes 100 ms for each request that waited, which is longer than the shortest drain.
    let shortest = Duration::from_millis(100) * (REQUESTS - 1);
    for at in [first_at, second_at] {
        let took = at - released;
        assert!(took >= shortest, "{took:?}");
    }
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
    server.freeze(true);
    // Without a drain, the sidecar scrapes once in the time of this test.
    let settings = [("PUSHSCALE_SIDECAR_SCRAPE_INTERVAL", "60s")];
    let addresses = server.addresses();
    let sidecar = TestSidecar::start_with("torchserve-0", &addresses, UNREACHABLE, &settings).await;
    let address = sidecar.address;
    http::until(TIMEOUT, || async { scrapes(address).await == 1 }).await;
    let asked = tokio::spawn(async move { http::get(address, "/drain").await });
    http::until(TIMEOUT, || async { scrapes(address).await > 1 }).await;
    assert!(!asked.is_finished());
    sidecar.end().await;
    let answer = asked.await.unwrap();
    assert!(
        answer.body.contains("the sidecar is shutting down"),
        "{answer:?}"
    );
}
