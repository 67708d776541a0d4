//! Graceful shutdown of the sidecar and of the aggregator.

use pushscale_tests::fake_cluster::FakeCluster;
use pushscale_tests::http;
use pushscale_tests::sidecar::TestSidecar;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::support::{TIMEOUT, policy, server};

#[tokio::test]
async fn the_last_push_of_a_terminating_pod_removes_it_from_the_fleet() {
    let cluster = FakeCluster::start(policy(), 2).await;
    cluster.add_pod("torchserve-0").await;
    cluster.add_pod("torchserve-1").await;
    let (stays, goes) = (server().await, server().await);
    let aggregator = cluster.push.to_string();
    let mut sidecars = Vec::new();
    for (pod, server) in [("torchserve-0", &stays), ("torchserve-1", &goes)] {
        let ports = server.addresses();
        sidecars.push(TestSidecar::start(pod, ports.metrics, ports.management, &aggregator).await);
    }
    let explained = || async { http::get(cluster.admin, "/debug/scalers").await.body };
    http::until(TIMEOUT, || async {
        explained().await.contains("2 of 2 running pods report")
    })
    .await;
    sidecars.pop().unwrap().end().await;
    http::until(TIMEOUT, || async {
        explained().await.contains("1 of 1 running pods report")
    })
    .await;
    sidecars.pop().unwrap().end().await;
    cluster.end().await;
}

#[tokio::test]
async fn an_in_flight_push_is_answered_during_shutdown() {
    let cluster = FakeCluster::start(policy(), 1).await;
    let mut stream = TcpStream::connect(cluster.push).await.unwrap();
    let body = include_str!("../../../crates/protocol/testdata/overloaded-v1.json");
    let head = format!(
        "POST /v1/readings HTTP/1.1\r\nhost: test\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&body.as_bytes()[..100]).await.unwrap();
    // The server must have read the request. Connections are accepted in order, so it was if a later one is answered.
    for _ in 0..2 {
        assert_eq!(http::get(cluster.push, "/nothing").await.status, 404);
    }
    let mut idle = TcpStream::connect(cluster.push).await.unwrap();
    let request = b"GET /nothing HTTP/1.1\r\nhost: test\r\n\r\n";
    idle.write_all(request).await.unwrap();
    let mut status = [0; 12];
    timeout(TIMEOUT, idle.read_exact(&mut status))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(&status, b"HTTP/1.1 404");
    cluster.stop();
    // The shutdown has begun once the server has closed an idle connection.
    timeout(TIMEOUT, idle.read_to_end(&mut Vec::new()))
        .await
        .unwrap()
        .unwrap();
    stream.write_all(&body.as_bytes()[100..]).await.unwrap();
    let mut answer = String::new();
    timeout(TIMEOUT, stream.read_to_string(&mut answer))
        .await
        .unwrap()
        .unwrap();
    assert!(
        answer.starts_with("HTTP/1.1 503") || answer.starts_with("HTTP/1.1 404"),
        "{answer}"
    );
    http::until(TIMEOUT, || async {
        TcpStream::connect(cluster.push).await.is_err()
    })
    .await;
    cluster.end().await;
}
