//! Several aggregators, one of them away: each has its own connection and nobody waits for the others.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use pushscale_tests::http;
use pushscale_tests::sidecar::TestSidecar;
use pushscale_tests::small_world::SmallWorld;
use tokio::net::TcpListener;

use crate::support::{SOON, policy, server};

async fn taken(world: &SmallWorld) -> u64 {
    let metrics = http::get(world.admin, "/metrics").await.body;
    metrics
        .lines()
        .find_map(|line| {
            line.strip_prefix("pushscale_aggregator_readings_total{outcome=\"Taken\"} ")
        })
        .map_or(0, |count| count.parse().unwrap())
}

#[tokio::test]
async fn a_dead_replica_delays_no_other() {
    // The dead one accepts and never answers: the worst kind.
    let replica = SmallWorld::start(policy(), 1).await;
    let dead = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let names = format!("{},{}", dead.local_addr().unwrap(), replica.push);
    let held = tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((stream, _)) = dead.accept().await {
            held.push(stream);
        }
    });
    replica.add_pod("torchserve-0").await;
    let server = server().await;
    let ports = server.addresses();
    let sidecar = TestSidecar::start("torchserve-0", ports.metrics, ports.management, &names).await;
    http::until(SOON, || async { taken(&replica).await >= 1 }).await;
    let before = taken(&replica).await;
    // A push to the dead one times out after 500 ms. In 3 s, 30 looks are pushed to the one that lives.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let after = taken(&replica).await;
    assert!(after >= before + 20, "{before} → {after} in 3 s");
    held.abort();
    sidecar.end().await;
    replica.end().await;
}

#[tokio::test]
async fn an_aggregator_that_comes_back_is_told_the_newest_reading_within_seconds() {
    let first = SmallWorld::start(policy(), 1).await;
    let address: SocketAddr = (Ipv4Addr::LOCALHOST, first.push.port()).into();
    first.add_pod("torchserve-0").await;
    let server = server().await;
    let ports = server.addresses();
    let sidecar = TestSidecar::start(
        "torchserve-0",
        ports.metrics,
        ports.management,
        &address.to_string(),
    )
    .await;
    http::until(SOON, || async { taken(&first).await >= 3 }).await;
    first.end().await;
    tokio::time::sleep(Duration::from_secs(2)).await;

    let second = SmallWorld::start_at(address, policy(), 1).await;
    second.add_pod("torchserve-0").await;
    http::until(Duration::from_secs(9), || async {
        taken(&second).await >= 1
    })
    .await;
    // The newest only: had the sidecar kept a queue, twenty readings of the two seconds would have come at once.
    let metrics = http::get(second.admin, "/metrics").await.body;
    let received: u64 = metrics
        .lines()
        .filter(|line| line.starts_with("pushscale_aggregator_readings_total"))
        .map(|line| line.rsplit_once(' ').unwrap().1.parse::<u64>().unwrap())
        .sum();
    assert!(received <= 5, "{metrics}");
    sidecar.end().await;
    second.end().await;
}
