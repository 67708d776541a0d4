//! A minimal HTTP client: it sends exactly what a test specifies.

use std::fmt::Debug;
use std::iter::Sum;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::str::FromStr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// The limit for any response.
const DEADLINE: Duration = Duration::from_secs(120);

/// A response.
#[derive(Clone, Debug)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// The body.
    pub body: String,
}

/// Sends `GET path` on a new connection.
pub async fn get(address: SocketAddr, path: &str) -> Response {
    raw(
        address,
        format!("GET {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n").as_bytes(),
    )
    .await
}

/// Sends `POST path` with a body on a new connection.
pub async fn post(address: SocketAddr, path: &str, body: &[u8]) -> Response {
    let mut bytes = format!(
        "POST {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    bytes.extend_from_slice(body);
    raw(address, &bytes).await
}

/// Sends `POST path` with a body and a header, `Name: value`.
pub async fn post_with(address: SocketAddr, path: &str, header: &str, body: &[u8]) -> Response {
    let mut bytes = format!(
        "POST {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n{header}\r\ncontent-length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    bytes.extend_from_slice(body);
    raw(address, &bytes).await
}

/// Sends these bytes and reads until the server closes the connection. Without a response, the status is 0.
pub async fn raw(address: SocketAddr, bytes: &[u8]) -> Response {
    let talk = async {
        let mut stream = TcpStream::connect(address).await.ok()?;
        stream.write_all(bytes).await.ok()?;
        let mut answer = Vec::new();
        // A server that rejects a request before it has read the body may reset the connection after its response.
        stream.read_to_end(&mut answer).await.ok();
        let text = String::from_utf8_lossy(&answer).into_owned();
        let (head, body) = text.split_once("\r\n\r\n")?;
        Some(Response {
            status: head.split_whitespace().nth(1)?.parse().ok()?,
            body: body.to_owned(),
        })
    };
    timeout(DEADLINE, talk)
        .await
        .ok()
        .flatten()
        .unwrap_or(Response {
            status: 0,
            body: String::new(),
        })
}

/// Returns the sum of a metric on this page of metrics, over all its label sets or of the one that `series` names; 0 if
/// the page has none.
///
/// # Panics
/// A value is not such a number.
pub fn sum<T: FromStr<Err: Debug> + Sum>(page: &str, series: &str) -> T {
    let values = page.lines().filter_map(|line| line.strip_prefix(series));
    values
        .filter(|rest| rest.starts_with(['{', ' ']))
        .filter_map(|rest| rest.rsplit(' ').next())
        .map(|value| value.parse::<T>().expect("a number"))
        .sum()
}

/// Polls until the condition holds.
///
/// # Panics
/// The condition does not hold within the time.
pub async fn until<F: Future<Output = bool>>(within: Duration, mut is_so: impl FnMut() -> F) {
    let asked = timeout(within, async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    assert!(asked.await.is_ok(), "condition not met within {within:?}");
}

/// Returns an address of this host that was free a moment ago, for a server that does not report which port it got.
///
/// # Panics
/// The host has no such address.
pub fn free_address(host: IpAddr) -> SocketAddr {
    let listener = TcpListener::bind((host, 0)).expect("an address of this host");
    listener.local_addr().expect("a bound socket")
}
