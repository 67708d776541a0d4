//! Helpers of the tests of this crate.

#![allow(dead_code, reason = "each test binary uses its part")]
#![allow(unreachable_pub, reason = "a module of several test binaries")]

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

/// The limit for anything that takes seconds on an idle machine. Only a hang takes longer.
pub const TIMEOUT: Duration = Duration::from_secs(120);

/// A response.
#[derive(Debug)]
pub struct Response {
    pub status: u16,
    pub head: String,
    pub body: String,
}

/// Sends one request on a new connection.
pub async fn get(address: SocketAddr, path: &str) -> Response {
    let mut client = Client::connect(address).await;
    client
        .send(&format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n"))
        .await;
    client.response().await
}

/// Sends one prediction on a new connection.
pub async fn post(address: SocketAddr, path: &str, body: &str) -> Response {
    let mut client = Client::connect(address).await;
    client.post(path, body).await;
    client.response().await
}

/// A connection that reads responses by content-length, because TorchServe does not close connections.
pub struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Client {
    pub async fn connect(address: SocketAddr) -> Self {
        let stream = timeout(TIMEOUT, TcpStream::connect(address));
        Self {
            stream: stream.await.expect("connected in time").expect("connected"),
            buffer: Vec::new(),
        }
    }

    pub async fn send(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).await.expect("sent");
    }

    pub async fn post(&mut self, path: &str, body: &str) {
        let length = body.len();
        self.send(&format!(
            "POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\
             Content-Length: {length}\r\n\r\n{body}"
        ))
        .await;
    }

    pub async fn response(&mut self) -> Response {
        self.response_to(false).await
    }

    pub async fn response_to_head(&mut self) -> Response {
        self.response_to(true).await
    }

    async fn response_to(&mut self, head_only: bool) -> Response {
        let head = loop {
            if let Some(at) = self.buffer.windows(4).position(|w| w == b"\r\n\r\n") {
                let head: Vec<u8> = self.buffer.drain(..at + 4).collect();
                break String::from_utf8(head).expect("a head in UTF-8");
            }
            self.read().await;
        };
        let length = header(&head, "content-length").expect("a content-length");
        let length: usize = length.parse().expect("a number");
        let length = if head_only { 0 } else { length };
        while self.buffer.len() < length {
            self.read().await;
        }
        let body: Vec<u8> = self.buffer.drain(..length).collect();
        Response {
            status: head[9..12].parse().expect("a status"),
            head,
            body: String::from_utf8(body).expect("a body in UTF-8"),
        }
    }

    async fn read(&mut self) {
        let read = timeout(TIMEOUT, self.stream.read_buf(&mut self.buffer));
        let count = read.await.expect("bytes in time").expect("bytes");
        assert!(count > 0, "closed within a response: {:?}", self.buffer);
    }

    /// Whether nothing arrives within `time`, and the connection stays open.
    pub async fn is_silent(&mut self, time: Duration) -> bool {
        timeout(time, self.stream.read_buf(&mut self.buffer))
            .await
            .is_err()
    }

    /// Waits for the end of the connection, and returns the error if it was not closed properly.
    pub async fn end(&mut self) -> Option<std::io::ErrorKind> {
        let read = timeout(TIMEOUT, self.stream.read_buf(&mut self.buffer));
        match read.await.expect("an end in time") {
            Ok(0) => None,
            Ok(_) => panic!("more bytes: {:?}", String::from_utf8_lossy(&self.buffer)),
            Err(error) => Some(error.kind()),
        }
    }
}

/// A header's value, by its name in any case.
pub fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines()
        .filter_map(|line| line.split_once(": "))
        .find(|(n, _)| n.eq_ignore_ascii_case(name))
        .map(|(_, value)| value)
}

/// The sum of a family's samples; `None` without any.
pub fn sum(page: &str, family: &str) -> Option<f64> {
    let samples = page.lines().filter_map(|line| {
        let labels = line.strip_prefix(family)?.strip_prefix('{')?;
        let value = labels.rsplit_once("} ")?.1;
        Some(value.parse::<f64>().expect("a number"))
    });
    samples.fold(None, |sum, value| Some(sum.unwrap_or(0.0) + value))
}

/// `jobQueueStatus.pendingRequests` of a model's only version.
pub async fn waiting(management: SocketAddr, model: &str) -> u64 {
    let models = describe(management, model).await;
    models[0]["jobQueueStatus"]["pendingRequests"]
        .as_u64()
        .expect("a number")
}

/// All versions of a model.
pub async fn describe(management: SocketAddr, model: &str) -> serde_json::Value {
    let response = get(management, &format!("/models/{model}/all")).await;
    assert_eq!(response.status, 200, "{}", response.body);
    serde_json::from_str(&response.body).expect("JSON")
}

/// Polls until the condition holds.
pub async fn eventually<F: Future<Output = bool>>(what: &str, mut is_so: impl FnMut() -> F) {
    let start = Instant::now();
    while !is_so().await {
        assert!(start.elapsed() < TIMEOUT, "not within {TIMEOUT:?}: {what}");
        sleep(Duration::from_millis(20)).await;
    }
}
