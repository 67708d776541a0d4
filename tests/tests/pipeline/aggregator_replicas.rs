//! Several aggregators, one of which does not respond: each has its own connection, and no push waits for another.

use std::net::{Ipv4Addr, SocketAddr};

use pushscale_tests::fake_cluster::FakeCluster;
use pushscale_tests::http;
use pushscale_tests::sidecar::TestSidecar;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::support::{TIMEOUT, accepted, policy, scrapes, server};

#[tokio::test]
async fn an_unresponsive_aggregator_does_not_delay_pushes_to_the_others() {
    // It accepts connections and never responds: the worst case.
    let replica = FakeCluster::start(policy(), 1).await;
    let dead = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let addresses = format!("{},{}", dead.local_addr().unwrap(), replica.push);
    let (connected, mut pushes) = watch::channel(0_u64);
    let held = tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((stream, _)) = dead.accept().await {
            held.push(stream);
            connected.send_modify(|count| *count += 1);
        }
    });
    replica.add_pod("torchserve-0").await;
    let server = server().await;
    let ports = server.addresses();
    let sidecar =
        TestSidecar::start("torchserve-0", ports.metrics, ports.management, &addresses).await;
    http::until(TIMEOUT, || async { accepted(&replica).await >= 1 }).await;
    // Each push to it takes its whole timeout and then a new connection. If pushes to the other aggregator waited for
    // it, that one would get one push per timeout. A scrape interval is a fifth of the timeout.
    let before = (*pushes.borrow(), accepted(&replica).await);
    let enough = pushes.wait_for(|count| *count >= before.0 + 3);
    timeout(TIMEOUT, enough).await.unwrap().unwrap();
    let pushed = accepted(&replica).await - before.1;
    assert!(pushed >= 6, "{pushed} pushes while 3 timed out elsewhere");
    held.abort();
    sidecar.end().await;
    replica.end().await;
}

#[tokio::test]
async fn a_restarted_aggregator_receives_only_the_newest_reading() {
    let first = FakeCluster::start(policy(), 1).await;
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
    http::until(TIMEOUT, || async { accepted(&first).await >= 3 }).await;
    first.end().await;
    let gone = scrapes(sidecar.address).await;
    http::until(TIMEOUT, || async {
        scrapes(sidecar.address).await >= gone + 20
    })
    .await;

    let back = scrapes(sidecar.address).await;
    let second = FakeCluster::start_at(address, policy(), 1).await;
    second.add_pod("torchserve-0").await;
    http::until(TIMEOUT, || async { accepted(&second).await >= 1 }).await;
    // The sidecar keeps no queue: the twenty readings without an aggregator are not pushed afterwards.
    let metrics = http::get(second.admin, "/metrics").await.body;
    let received: u64 = http::sum(&metrics, "pushscale_aggregator_pushes_total");
    let since = scrapes(sidecar.address).await - back;
    assert!(received < since + 10, "{since}: {metrics}");
    sidecar.end().await;
    second.end().await;
}
