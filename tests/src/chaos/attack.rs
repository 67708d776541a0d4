//! Clients that mean harm, from an address of their own.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use pushscale_protocol::{MAX_BODY_BYTES, PUSH_PATH, TOKEN_AUDIENCE};
use serde_json::json;
use tokio::io::{AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::port::{PREFACE, Port, Transport, open};

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
    /// Opens connections that send a byte now and then, and never a whole request. Half of those to a port with TLS
    /// never finish the handshake.
    pub(super) fn slow(ports: &[Port]) -> Self {
        Self::start(ports, |port, client| async move {
            let Some(stream) = connect(port.address).await else {
                return;
            };
            let head = format!("POST {PUSH_PATH} HTTP/1.1\r\nhost: slow\r\nx-slow: ");
            match port.transport {
                Transport::Http => drip(stream, head.as_bytes()).await,
                // The header of a record of 16 KiB.
                Transport::Tls(_) if client % 2 == 0 => drip(stream, b"\x16\x03\x01\x40\x00").await,
                Transport::Tls(certificate) => {
                    if let Some(stream) = open(certificate, port.address.ip(), stream).await {
                        drip(stream, head.as_bytes()).await;
                    }
                }
                Transport::Grpc => {
                    let settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
                    // The header of a HEADERS frame of 16 KiB.
                    let headers = [0, 0x40, 0, 1, 4, 0, 0, 0, 1];
                    drip(stream, &[&PREFACE[..], &settings, &headers].concat()).await;
                }
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

    /// Sends a push with a token that was not issued, each time a new one for the pod `uid` and from one of eight
    /// addresses, and hangs up before the API server has reviewed it. Tokens of unknown pods would not be reviewed.
    pub(super) fn forged(ports: &[SocketAddr], uid: &str) -> Self {
        static TOKENS: AtomicUsize = AtomicUsize::new(0);
        let uid: Arc<str> = uid.into();
        Self::start(ports, move |port, client| {
            let uid = Arc::clone(&uid);
            async move {
                let [.., last] = SOURCE.octets();
                // Each address may have a few tokens in review, so one alone would soon be rejected without a review.
                let address = Ipv4Addr::new(127, 0, last, u8::try_from(client % 8).unwrap() + 1);
                if let Some(mut stream) = connect_from(address, port).await {
                    let token = forged_token(&uid, TOKENS.fetch_add(1, Ordering::Relaxed));
                    stream.write_all(&forged_push(&token)).await.ok();
                    sleep(Duration::from_millis(2)).await;
                }
            }
        })
    }

    fn start<P, C, F>(ports: &[P], client: C) -> Self
    where
        P: Clone + Send + 'static,
        C: Fn(P, usize) -> F + Clone + Send + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let mut clients = JoinSet::new();
        for port in ports {
            for number in 0..CONNECTIONS {
                let (client, port) = (client.clone(), port.clone());
                clients.spawn(async move {
                    loop {
                        client(port.clone(), number).await;
                        sleep(Duration::from_millis(50)).await;
                    }
                });
            }
        }
        Self { _clients: clients }
    }
}

/// Sends these bytes one at a time, and then others, until the server closes the connection.
async fn drip(mut stream: impl AsyncWrite + Unpin, bytes: &[u8]) {
    for byte in bytes.iter().copied().chain(std::iter::repeat(b'x')) {
        if stream.write_all(&[byte]).await.is_err() || stream.flush().await.is_err() {
            return;
        }
        sleep(Duration::from_millis(200)).await;
    }
}

async fn connect(port: SocketAddr) -> Option<TcpStream> {
    connect_from(SOURCE, port).await
}

async fn connect_from(address: Ipv4Addr, port: SocketAddr) -> Option<TcpStream> {
    let socket = TcpSocket::new_v4().ok()?;
    socket.bind((address, 0).into()).ok()?;
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

/// Returns a token like those of the API server, for the pod `uid`, with an invalid signature.
fn forged_token(uid: &str, number: usize) -> String {
    let claims = json!({
        "aud": [TOKEN_AUDIENCE],
        "exp": 4_102_444_800_u64,
        "kubernetes.io": { "pod": { "name": "forged", "uid": uid } },
        "jti": format!("forged-{number}"),
    });
    let part = |json: String| URL_SAFE_NO_PAD.encode(json);
    let header = part(json!({ "alg": "RS256", "kid": "forged" }).to_string());
    format!(
        "{header}.{}.{}",
        part(claims.to_string()),
        part("forged".to_owned())
    )
}

/// An empty push: the server notices a closed connection at once, which it does not while a body is pending.
fn forged_push(token: &str) -> Vec<u8> {
    format!(
        "POST {PUSH_PATH} HTTP/1.1\r\nhost: attack\r\nauthorization: Bearer {token}\r\ncontent-length: 0\r\n\r\n"
    )
    .into_bytes()
}
