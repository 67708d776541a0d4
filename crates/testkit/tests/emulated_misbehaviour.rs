//! The faults that an emulated server simulates on demand.

#![cfg(test)]

mod support;

use std::io::ErrorKind;
use std::time::Duration;

use pushscale_testkit::emulated::{EmulatedServer, ModelOptions, ServerOptions};
use pushscale_testkit::open_files;
use support::{Client, TIMEOUT, eventually, get, post, sum};
use tokio::net::TcpStream;
use tokio::time::timeout;

const MODEL: &str = "/predictions/sleepy";

async fn started(service_ms: u64) -> EmulatedServer {
    let model = ModelOptions {
        service: Duration::from_millis(service_ms),
        ..ModelOptions::default()
    };
    let options = ServerOptions {
        models: vec![model],
        ..ServerOptions::default()
    };
    let server = EmulatedServer::start(options).unwrap();
    timeout(TIMEOUT, server.ready()).await.unwrap();
    server
}

async fn queued_client(server: &EmulatedServer, waiting: usize) -> Client {
    let mut client = Client::connect(server.addresses().inference).await;
    client.post(MODEL, "{}").await;
    eventually("the request waits", || async {
        server.waiting("sleepy") == waiting
    })
    .await;
    client
}

async fn requests(server: &EmulatedServer) -> Option<f64> {
    let page = get(server.addresses().metrics, "/metrics").await.body;
    sum(&page, "ts_inference_requests_total")
}

#[tokio::test]
async fn a_frozen_server_accepts_connections_and_responds_after_the_freeze() {
    let server = started(10).await;
    let at = server.addresses();
    let mut before = Client::connect(at.inference).await;
    server.freeze(true);
    before.post(MODEL, "{}").await;
    let mut clients = vec![before];
    for address in [at.metrics, at.management] {
        let mut client = Client::connect(address).await;
        client
            .send("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
            .await;
        clients.push(client);
    }
    for client in &mut clients {
        assert!(client.is_silent(Duration::from_millis(100)).await);
    }
    server.freeze(false);
    for (client, status) in clients.iter_mut().zip([200, 200, 404]) {
        assert_eq!(client.response().await.status, status);
    }
}

#[tokio::test]
async fn a_server_that_freezes_during_a_request_completes_it_after_the_freeze() {
    let server = started(10).await;
    // The worker keeps the request until the server is frozen.
    server.block_workers(1);
    let mut client = Client::connect(server.addresses().inference).await;
    client.post(MODEL, "{}").await;
    eventually("the request is in flight", || async {
        requests(&server).await.is_some() && server.waiting("sleepy") == 0
    })
    .await;
    server.freeze(true);
    server.block_workers(0);
    assert!(client.is_silent(Duration::from_millis(500)).await);
    server.freeze(false);
    assert_eq!(client.response().await.status, 200);
}

#[tokio::test]
async fn a_refusing_server_resets_connections_and_keeps_its_counters() {
    let server = started(10).await;
    let at = server.addresses();
    assert_eq!(post(at.inference, MODEL, "{}").await.status, 200);
    let mut idle = Client::connect(at.metrics).await;
    server.refuse(true);
    assert_eq!(idle.end().await, Some(ErrorKind::ConnectionReset));
    for address in [at.inference, at.management, at.metrics] {
        eventually("the port is closed", || async {
            let refused = TcpStream::connect(address).await;
            refused.is_err_and(|e| e.kind() == ErrorKind::ConnectionRefused)
        })
        .await;
    }
    server.refuse(false);
    eventually("the port is open", || async {
        TcpStream::connect(at.metrics).await.is_ok()
    })
    .await;
    assert_eq!(requests(&server).await, Some(1.0));
}

#[tokio::test]
async fn a_stuck_worker_reports_ready_and_changes_no_latency() {
    let server = started(10).await;
    let at = server.addresses();
    server.block_workers(1);
    // The first request stays in flight, and the second one waits.
    let mut first = Client::connect(at.inference).await;
    first.post(MODEL, "{}").await;
    eventually("it is in flight", || async {
        requests(&server).await == Some(1.0)
    })
    .await;
    let mut second = queued_client(&server, 1).await;
    assert!(first.is_silent(Duration::from_millis(200)).await);
    let page = get(at.metrics, "/metrics").await.body;
    assert_eq!(sum(&page, "ts_inference_requests_total"), Some(2.0));
    assert_eq!(sum(&page, "ts_queue_latency_microseconds"), None);
    let models = support::describe(at.management, "sleepy").await;
    assert_eq!(models[0]["workers"][0]["status"], "READY");
    assert!(get(at.inference, "/ping").await.body.contains("Healthy"));
    server.block_workers(0);
    assert_eq!(first.response().await.status, 200);
    assert_eq!(second.response().await.status, 200);
}

#[tokio::test]
async fn a_model_without_workers_rejects_all_requests() {
    let mut options = ServerOptions::default();
    options.models[0].workers = 0;
    let server = EmulatedServer::start(options).unwrap();
    timeout(TIMEOUT, server.ready()).await.unwrap();
    let at = server.addresses();
    eventually("the port is open", || async {
        TcpStream::connect(at.metrics).await.is_ok()
    })
    .await;
    assert_eq!(post(at.inference, MODEL, "{}").await.status, 503);
    assert!(
        get(at.management, "/models/sleepy")
            .await
            .body
            .contains("\"workers\": []")
    );
}

#[tokio::test]
async fn stopping_closes_the_ports_and_resets_connections() {
    let server = started(10_000).await;
    let at = server.addresses();
    let mut client = Client::connect(at.inference).await;
    client.post(MODEL, "{}").await;
    eventually("it has arrived", || async {
        requests(&server).await == Some(1.0)
    })
    .await;
    timeout(TIMEOUT, server.stop()).await.unwrap();
    assert_eq!(client.end().await, Some(ErrorKind::ConnectionReset));
    let refused = TcpStream::connect(at.inference).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
}

#[tokio::test]
async fn hundreds_of_servers_fit_into_one_process() {
    open_files::raise_limit();
    let mut servers = Vec::new();
    for _ in 0..200 {
        servers.push(started(10).await);
    }
    for server in &servers {
        assert_eq!(
            post(server.addresses().inference, MODEL, "{}").await.status,
            200
        );
    }
    let address = servers[0].addresses().inference;
    drop(servers);
    eventually("dropped servers are gone", || async {
        TcpStream::connect(address).await.is_err()
    })
    .await;
}
