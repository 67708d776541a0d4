//! Whatever listens in place of TorchServe: the sidecar reports it, limits it, and continues.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use pushscale_testkit::emulated::{EmulatedServer, ServerOptions};
use pushscale_tests::http;
use pushscale_tests::sidecar::TestSidecar;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::support::TIMEOUT;

/// A server that answers every request with these bytes and keeps the connection open.
async fn answering(bytes: Vec<u8>) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let bytes = bytes.clone();
            tokio::spawn(async move {
                let mut asked = [0; 4096];
                while matches!(stream.read(&mut asked).await, Ok(1..)) {
                    if stream.write_all(&bytes).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

fn page(status: &str, body: &str) -> Vec<u8> {
    format!(
        "HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// Waits until the sidecar reports this state of the server, and of its management port. On a busy machine, single
/// scrapes may time out.
async fn until_reported(
    metrics: SocketAddr,
    management: SocketAddr,
    state: &str,
    port: Option<&str>,
) {
    let sidecar = TestSidecar::start("p", metrics, management, "127.0.0.1:1").await;
    let start = Instant::now();
    loop {
        let body = http::get(sidecar.address, "/reading").await.body;
        let reading: serde_json::Value = serde_json::from_str(&body).unwrap_or_default();
        let server = &reading["server"];
        if server["state"] == state && port.is_none_or(|port| server["managementPort"] == port) {
            break;
        }
        assert!(start.elapsed() < TIMEOUT, "not {state}, {port:?}: {body}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    sidecar.end().await;
}

#[tokio::test]
async fn every_kind_of_bad_server_has_its_own_state() {
    let good = "# TYPE ts_inference_requests_total counter\n\
                ts_inference_requests_total{model_name=\"m\",} 1.0\n";
    let cases = [
        (
            "garbled",
            answering(b"220 mail.example ESMTP\r\n".to_vec()).await,
        ),
        (
            "garbled",
            answering(page("200 OK", "<html>hello</html>")).await,
        ),
        ("garbled", answering(page("404 Not Found", "no")).await),
        (
            "garbled",
            answering(page("200 OK", "another_program_total 7\n")).await,
        ),
        (
            "garbled",
            answering(b"HTTP/1.1 200 OK\r\ncontent-length: 1073741824\r\n\r\n#".to_vec()).await,
        ),
        ("forbidden", answering(page("403 Forbidden", "")).await),
        ("empty", answering(page("200 OK", "")).await),
        ("frozen", answering(Vec::new()).await),
        (
            "frozen",
            answering(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nbegun".to_vec()).await,
        ),
        ("ready", answering(page("200 OK", good)).await),
    ];
    let nothing: SocketAddr = (Ipv4Addr::LOCALHOST, 1).into();
    for (expected, address) in cases {
        until_reported(address, nothing, expected, None).await;
    }
    until_reported(nothing, nothing, "refused", None).await;
}

#[tokio::test]
async fn a_page_without_the_counters_is_no_reading_even_if_the_queues_are_known() {
    let metrics = answering(page("200 OK", "another_program_total 7\n")).await;
    let server = EmulatedServer::start(ServerOptions::default()).unwrap();
    server.ready().await;
    let management = server.addresses().management;
    until_reported(metrics, management, "garbled", Some("ok")).await;
    server.stop().await;
}

#[tokio::test]
async fn an_endless_body_is_cut_at_the_limit() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
                let mut chunk = b"10000\r\n".to_vec();
                chunk.resize(chunk.len() + 0x10000, b'#');
                chunk.extend_from_slice(b"\r\n");
                let mut going = stream.write_all(head).await.is_ok();
                while going {
                    going = stream.write_all(&chunk).await.is_ok();
                }
            });
        }
    });
    let nothing: SocketAddr = (Ipv4Addr::LOCALHOST, 1).into();
    until_reported(address, nothing, "garbled", None).await;
}

#[tokio::test]
async fn metrics_are_read_even_if_the_management_port_is_something_else() {
    let good = "ts_inference_requests_total{model_name=\"m\",} 1.0\n";
    let forbidden = r#"{"code":400,"type":"InvalidKeyException","message":"Token missing"}"#;
    let metrics = answering(page("200 OK", good)).await;
    let cases = [
        (
            "forbidden",
            answering(page("400 Bad Request", forbidden)).await,
        ),
        (
            "garbled",
            answering(b"\x00\x00\x12\x04\x00\x00\x00".to_vec()).await,
        ),
        ("garbled", answering(page("200 OK", "{}")).await),
        ("frozen", answering(Vec::new()).await),
    ];
    for (expected, management) in cases {
        until_reported(metrics, management, "ready", Some(expected)).await;
    }
}
