//! Clients that mean harm, from an address of their own.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use pushscale_protocol::{MAX_BODY_BYTES, PUSH_PATH};
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::sleep;

/// The attackers' address: limits per address protect everyone else.
const SOURCE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 66);

/// Connections that each attacked port gets at the same time: more than an address may have.
const CONNECTIONS: usize = 600;

/// A running attack, which ends when dropped.
#[derive(Debug)]
pub(super) struct Attack {
    _clients: JoinSet<()>,
}

impl Attack {
    /// Opens connections that send a header line now and then, and never a whole request.
    pub(super) fn slow(ports: &[SocketAddr]) -> Self {
        Self::start(ports, |port, _| async move {
            let Some(mut stream) = connect(port).await else {
                return;
            };
            let head = format!("POST {PUSH_PATH} HTTP/1.1\r\nhost: slow\r\n");
            let mut sent = stream.write_all(head.as_bytes()).await;
            while sent.is_ok() {
                sleep(Duration::from_millis(200)).await;
                sent = stream.write_all(b"x-slow: 1\r\n").await;
            }
        })
    }

    /// Sends what no sidecar sends, each time over a new connection, and hangs up without waiting for a response.
    pub(super) fn invalid(ports: &[SocketAddr]) -> Self {
        Self::start(ports, |port, client| async move {
            if let Some(mut stream) = connect(port).await {
                stream.write_all(&invalid_request(client)).await.ok();
            }
        })
    }

    fn start<F>(ports: &[SocketAddr], client: fn(SocketAddr, usize) -> F) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let mut clients = JoinSet::new();
        for port in ports.iter().copied() {
            for number in 0..CONNECTIONS {
                clients.spawn(async move {
                    loop {
                        client(port, number).await;
                        sleep(Duration::from_millis(50)).await;
                    }
                });
            }
        }
        Self { _clients: clients }
    }
}

async fn connect(port: SocketAddr) -> Option<TcpStream> {
    let socket = TcpSocket::new_v4().ok()?;
    socket.bind((SOURCE, 0).into()).ok()?;
    socket.connect(port).await.ok()
}

fn invalid_request(number: usize) -> Vec<u8> {
    let request = |length: usize, body: &str| {
        format!(
            "POST {PUSH_PATH} HTTP/1.1\r\nhost: attack\r\ncontent-type: application/json\r\n\
             content-length: {length}\r\n\r\n{body}"
        )
        .into_bytes()
    };
    match number % 5 {
        0 => vec![0xff; 4096],
        1 => request(MAX_BODY_BYTES, "{\"version\":1,"),
        2 => request(usize::MAX, "{"),
        3 => request(2, "{}"),
        _ => {
            let nested = "[".repeat(MAX_BODY_BYTES / 2);
            request(nested.len(), &nested)
        }
    }
}
