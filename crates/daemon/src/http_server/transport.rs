//! The layer between TCP and HTTP: none, or TLS.

use std::future::Future;
use std::io::{self, Write as _};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use super::ConnectionRejection;
use super::handshake_queue::HandshakeQueue;
use crate::tls::{ServerCertificate, TlsError};

/// The timeout of a TLS handshake, with the wait for its turn.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// The response to a connection over the limit, sent without reading the request.
const TOO_MANY_CONNECTIONS: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\n\
content-length: 32\r\nretry-after: 5\r\nconnection: close\r\n\r\n{\"error\":\"too many connections\"}";

/// The first byte of every TLS handshake (RFC 8446, 5.1). No HTTP method begins with it.
const TLS_HANDSHAKE_RECORD: u8 = 22;

/// The response to HTTP on a TLS port.
const TLS_REQUIRED: &[u8] = b"HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\n\
content-length: 65\r\nconnection: close\r\n\r\n\
{\"error\":\"TLS required: use https and trust the CA of Pushscale\"}";

/// The timeout for sending that response.
const TLS_REQUIRED_TIMEOUT: Duration = Duration::from_secs(1);

/// Turns an accepted TCP stream into a stream for HTTP.
pub trait Transport: Clone + Send + Sync + 'static {
    /// The stream that carries HTTP.
    type Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static;

    /// Prepares the stream of a client, within a timeout.
    ///
    /// # Errors
    /// If the client does not speak this transport.
    fn accept(
        &self,
        client: IpAddr,
        stream: TcpStream,
    ) -> impl Future<Output = Result<Self::Stream, ConnectionRejection>> + Send;

    /// Closes the connection of a client over the limit, without reading from it.
    fn reject(stream: TcpStream);
}

/// Plain HTTP over TCP.
#[derive(Clone, Copy, Debug)]
pub struct Plain;

impl Transport for Plain {
    type Stream = TcpStream;

    async fn accept(
        &self,
        _client: IpAddr,
        stream: TcpStream,
    ) -> Result<TcpStream, ConnectionRejection> {
        Ok(stream)
    }

    /// Sends 503. One write into an empty socket buffer does not block; the standard library's write does not wait for
    /// readiness as tokio's would.
    fn reject(stream: TcpStream) {
        if let Err(error) = stream
            .into_std()
            .and_then(|mut stream| stream.write_all(TOO_MANY_CONNECTIONS))
        {
            tracing::debug!(%error, "failed to send 503");
        }
    }
}

/// HTTP over TLS. Clients that send plain HTTP get 400 with an explanation.
#[derive(Clone)]
pub struct Tls {
    acceptor: TlsAcceptor,
    queue: Arc<HandshakeQueue>,
}

impl Tls {
    /// Uses the certificate that `certificate` holds at each handshake.
    ///
    /// # Errors
    /// If the crypto provider does not support TLS 1.3; ring does.
    pub fn new(certificate: &ServerCertificate) -> Result<Self, TlsError> {
        Ok(Self {
            acceptor: certificate.acceptor()?,
            queue: Arc::new(HandshakeQueue::new()),
        })
    }

    /// Also requests a client certificate. Any one is accepted, and none as well: the service must verify it with
    /// [`ClientCa`](crate::tls::ClientCa).
    ///
    /// # Errors
    /// If the crypto provider does not support TLS 1.3; ring does.
    pub fn with_client_certificates(certificate: &ServerCertificate) -> Result<Self, TlsError> {
        Ok(Self {
            acceptor: certificate.acceptor_with_client_certificates()?,
            queue: Arc::new(HandshakeQueue::new()),
        })
    }
}

impl Transport for Tls {
    // The stream itself would be a part of every future that passes it on, and so of the connection's memory.
    type Stream = Box<tokio_rustls::server::TlsStream<TcpStream>>;

    async fn accept(
        &self,
        client: IpAddr,
        stream: TcpStream,
    ) -> Result<Self::Stream, ConnectionRejection> {
        let accepted = timeout(HANDSHAKE_TIMEOUT, async {
            let mut first = [0];
            if stream.peek(&mut first).await? == 1 && first != [TLS_HANDSHAKE_RECORD] {
                return Ok(Err(stream));
            }
            let handshake = async { self.acceptor.accept(stream).await };
            self.queue.run(client, handshake).await.map(Ok)
        });
        match accepted.await {
            Ok(Ok(Ok(stream))) => Ok(Box::new(stream)),
            Ok(Ok(Err(plain))) => {
                if let Err(error) = send_tls_required(plain).await {
                    tracing::debug!(%error, "failed to send 400");
                }
                Err(ConnectionRejection::PlainHttp)
            }
            Ok(Err(error)) => {
                tracing::debug!(%error, "TLS handshake failed");
                Err(ConnectionRejection::HandshakeFailed)
            }
            Err(_) => Err(ConnectionRejection::HandshakeFailed),
        }
    }

    /// A client that begins a handshake cannot read an HTTP response.
    fn reject(stream: TcpStream) {
        drop(stream);
    }
}

/// Reads what has arrived first: closing with unread bytes resets the connection and discards the response.
async fn send_tls_required(mut stream: TcpStream) -> io::Result<()> {
    let mut request = vec![0; 8192];
    let sent = timeout(TLS_REQUIRED_TIMEOUT, async {
        let _request_bytes = stream.read(&mut request).await?;
        stream.write_all(TLS_REQUIRED).await?;
        stream.shutdown().await?;
        // Until the peer closes; bounded by the timeout.
        while stream.read(&mut request).await? > 0 {}
        Ok(())
    });
    sent.await.unwrap_or(Ok(()))
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::pin::pin;

    use tokio::net::TcpListener;

    use super::*;
    use crate::fair_semaphore::FairSemaphore;

    #[tokio::test]
    async fn a_handshake_waits_for_its_turn() {
        let tls = Tls {
            acceptor: ServerCertificate::default().acceptor().unwrap(),
            queue: Arc::new(HandshakeQueue(FairSemaphore::new(1, 1))),
        };
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut client = TcpStream::connect(address).await.unwrap();
        let (stream, peer) = listener.accept().await.unwrap();
        // An oversized record, which fails the handshake as soon as it is read.
        client.write_all(&[22, 3, 1, 255, 255]).await.unwrap();
        let other = IpAddr::V4(Ipv4Addr::new(198, 18, 0, 1));
        let permit = tls.queue.0.for_client(other).acquire(1).await;
        let mut accepted = pin!(tls.accept(peer.ip(), stream));
        for _ in 0..10_000 {
            tokio::select! {
                biased;
                _ = accepted.as_mut() => panic!("the handshake did not wait"),
                () = tokio::task::yield_now() => {}
            }
        }
        drop(permit);
        let failed = accepted.await.err();
        assert_eq!(failed, Some(ConnectionRejection::HandshakeFailed));
    }

    #[test]
    fn the_content_length_of_the_400_is_right() {
        let text = std::str::from_utf8(TLS_REQUIRED).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("content-length: {}", body.len())));
    }

    #[test]
    fn the_content_length_of_the_503_is_right() {
        let text = std::str::from_utf8(TOO_MANY_CONNECTIONS).unwrap();
        let (_, body) = text.split_once("\r\n\r\n").unwrap();
        assert_eq!(body.len(), 32);
        assert!(text.contains("content-length: 32\r\n"));
    }
}
