//! The aggregator asks for longer scrape intervals, and a sidecar follows.

use std::net::Ipv4Addr;

use pushscale_aggregator::PushSecurity;
use pushscale_tests::fake_cluster::FakeCluster;
use pushscale_tests::http;
use pushscale_tests::sidecar::TestSidecar;

use crate::bad_pushes::{PATH, push};
use crate::support::{SOON, policy, server};

#[tokio::test]
async fn a_sidecar_takes_the_interval_that_the_aggregator_asks_for() {
    let settings = [("PUSHSCALE_AGGREGATOR_MAX_PUSHES_PER_SECOND", "10")];
    let listen = (Ipv4Addr::LOCALHOST, 0).into();
    let mut cluster =
        FakeCluster::start_with_settings(listen, PushSecurity::default(), &settings).await;
    cluster.apply(policy(), 1).await;
    cluster.add_pod("torchserve-0").await;
    cluster.add_pod("torchserve-1").await;
    let server = server().await;
    let aggregator = cluster.push.to_string();
    let sidecar =
        TestSidecar::start_with("torchserve-1", &server.addresses(), &aggregator, &[]).await;
    let interval = || async {
        let reading = http::get(sidecar.address, "/reading").await.body;
        let reading = serde_json::from_str::<serde_json::Value>(&reading);
        reading.map_or(0.0, |it| it["intervalSeconds"].as_f64().unwrap())
    };
    http::until(SOON, || async { interval().await > 0.0 }).await;
    assert!(interval().await < 1.0, "{} s", interval().await);
    // A push after an hour counts like two pushes per second for a minute.
    let body = push(|push| push.interval_seconds = 3600.0);
    let answer = http::post(cluster.push, PATH, &body).await;
    assert_eq!((answer.status, answer.body.as_str()), (200, "{}"));
    http::until(SOON, || async { interval().await > 2.0 }).await;
    sidecar.end().await;
    cluster.end().await;
}
