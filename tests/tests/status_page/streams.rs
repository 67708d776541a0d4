//! Server-sent events: their limits, a client that reads nothing, and shutdown.

use std::net::SocketAddr;

use pushscale_tests::http::get;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use super::support::{Fleet, TIMEOUT};

/// A client of a stream.
struct Client {
    stream: BufReader<TcpStream>,
    status: String,
}

impl Client {
    /// Opens a stream from this loopback address: each address has a limit of connections.
    async fn open(admin: SocketAddr, path: &str, host: u8) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket
            .bind(SocketAddr::from(([127, 0, 0, host], 0)))
            .unwrap();
        let mut stream = socket.connect(admin).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: test\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut client = Self {
            stream: BufReader::new(stream),
            status: String::new(),
        };
        client.status = client.line().await;
        client
    }

    /// Returns the next line; empty after the end.
    async fn line(&mut self) -> String {
        let mut line = String::new();
        timeout(TIMEOUT, self.stream.read_line(&mut line))
            .await
            .expect("a line arrives")
            .ok();
        line
    }

    /// Reads until a line has this text.
    async fn until(&mut self, text: &str) {
        loop {
            let line = self.line().await;
            assert!(!line.is_empty(), "the stream ended before {text:?}");
            if line.contains(text) {
                return;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decision_reaches_all_streams() {
    let mut fleet = Fleet::start().await;
    let admin = fleet.cluster.admin;
    let mut scaler = Client::open(admin, "/events/models/torchserve", 1).await;
    let mut overview = Client::open(admin, "/events", 1).await;
    scaler.until("<section id=\"table\"").await;
    overview.until("<tr id=\"models/torchserve\"").await;
    fleet.scale_up().await;
    scaler.until("<section id=\"timeline\"").await;
    scaler.until("scale 2 → ").await;
    overview.until("<tr id=\"models/torchserve\"").await;
    fleet.cluster.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_reports_removed_and_added_scalers() {
    let fleet = Fleet::start().await;
    let mut overview = Client::open(fleet.cluster.admin, "/events", 1).await;
    overview.until("<tr id=\"models/torchserve\"").await;
    let policy = super::support::policy();
    fleet.cluster.add_scaler("second", &policy, 1).await;
    overview.until("<tr id=\"models/second\"").await;
    fleet.cluster.remove_scaler("second").await;
    overview.until("event: removed").await;
    overview.until("data: models/second").await;
    fleet.cluster.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_number_of_streams_is_limited() {
    let fleet = Fleet::start().await;
    let admin = fleet.cluster.admin;
    let mut open = Vec::new();
    for number in 0..16 {
        let client = Client::open(admin, "/events", 2 + number / 8).await;
        assert!(client.status.contains(" 200 "), "{}", client.status);
        open.push(client);
    }
    let rejected = Client::open(admin, "/events", 4).await;
    assert!(rejected.status.contains(" 503 "), "{}", rejected.status);
    assert_eq!(get(admin, "/").await.status, 200);
    // A client that leaves makes room.
    open.pop();
    let mut accepted = false;
    while !accepted {
        accepted = Client::open(admin, "/events", 4)
            .await
            .status
            .contains(" 200 ");
    }
    fleet.cluster.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_end_at_shutdown() {
    let fleet = Fleet::start().await;
    let mut client = Client::open(fleet.cluster.admin, "/events", 1).await;
    client.until("models/torchserve").await;
    // It fails if the server waits for a stream.
    fleet.cluster.end().await;
    while !client.line().await.is_empty() {}
}
