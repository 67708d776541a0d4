//! The ports that clients attack, and whether an honest client is served.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use pushscale_daemon::shutdown::Shutdown;
use pushscale_daemon::tls::CaBundle;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// Only a client that is kept out waits this long.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Time between two requests of an honest client.
const INTERVAL: Duration = Duration::from_millis(200);

/// What every port but that of gRPC answers, if only with 404.
const REQUEST: &[u8] = b"GET /live HTTP/1.1\r\nhost: honest\r\nconnection: close\r\n\r\n";

/// A port of a program.
#[derive(Clone, Debug)]
pub(super) struct Port {
    /// The program and the purpose of the port.
    pub(super) name: &'static str,
    pub(super) address: SocketAddr,
    pub(super) transport: Transport,
}

/// What a port speaks.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Transport {
    /// HTTP/1.1 without TLS.
    Http,
    /// HTTP/1.1 over TLS, with the certificate in this file.
    Tls(PathBuf),
    /// gRPC without TLS.
    Grpc,
}

impl Port {
    pub(super) fn new(name: &'static str, address: SocketAddr, transport: Transport) -> Self {
        Self {
            name,
            address,
            transport,
        }
    }

    /// Whether a new connection gets a response, other than that the server has too many.
    async fn is_served(&self) -> bool {
        let answered = timeout(TIMEOUT, async {
            let stream = TcpStream::connect(self.address).await.ok()?;
            match &self.transport {
                Transport::Http => answer(stream, REQUEST).await,
                Transport::Tls(certificate) => {
                    let stream = open(certificate.clone(), self.address.ip(), stream).await?;
                    answer(stream, REQUEST).await
                }
                Transport::Grpc => {
                    let settings = [&PREFACE[..], &[0, 0, 0, 4, 0, 0, 0, 0, 0]].concat();
                    answer(stream, &settings).await
                }
            }
        });
        let answer = answered.await.ok().flatten().unwrap_or_default();
        match self.transport {
            // The type of the server's first frame: its settings.
            Transport::Grpc => answer[3] == 4,
            Transport::Http | Transport::Tls(_) => {
                answer.starts_with(b"HTTP/1.1 ") && !answer.ends_with(b"503")
            }
        }
    }
}

/// The beginning of an HTTP/2 connection.
pub(super) const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Begins TLS on a connection with the owner of the certificate.
pub(super) async fn open(
    certificate: PathBuf,
    address: IpAddr,
    stream: TcpStream,
) -> Option<impl AsyncRead + AsyncWrite + Unpin> {
    let authority = CaBundle::from_file(certificate);
    authority.open(&address.to_string(), stream).await.ok()
}

/// Sends a request, and returns the first bytes of the response: those up to the status code of HTTP/1.1.
async fn answer(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    request: &[u8],
) -> Option<[u8; 12]> {
    stream.write_all(request).await.ok()?;
    stream.flush().await.ok()?;
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.ok()?;
    Some(answer)
}

/// Honest clients of some ports.
#[derive(Debug)]
pub(super) struct HonestClients {
    clients: JoinSet<()>,
    stop: Shutdown,
}

impl HonestClients {
    /// Sends requests to each port, each over a new connection.
    pub(super) fn start(ports: &[Port]) -> Self {
        let mut clients = JoinSet::new();
        let stop = Shutdown::new();
        for port in ports.iter().cloned() {
            let stop = stop.clone();
            clients.spawn(async move {
                loop {
                    assert!(port.is_served().await, "{}: not served", port.name);
                    if stop.is_cancelled() {
                        return;
                    }
                    sleep(INTERVAL).await;
                }
            });
        }
        Self { clients, stop }
    }

    /// Waits for the last response of each port, and panics if a request got none.
    pub(super) async fn assert_served(self) {
        self.stop.cancel();
        self.clients.join_all().await;
    }
}
