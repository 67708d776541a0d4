//! What lies between TCP and HTTP: nothing, or TLS.

use std::future::Future;
use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use super::TurnedAway;
use crate::tls::{ServerCertificate, TlsError};

/// From the first byte to the last of a handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// The first byte of every TLS handshake (RFC 8446, 5.1); no HTTP method begins with it.
const TLS_HANDSHAKE_RECORD: u8 = 22;

/// Said to whom speaks HTTP where TLS is asked for.
const PLAIN: &[u8] = b"HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\n\
content-length: 64\r\nconnection: close\r\n\r\n\
{\"error\":\"this port speaks TLS only: use https and give the CA\"}";

/// How long the peer may take to hear that.
const FAREWELL: Duration = Duration::from_secs(1);

/// Makes a stream for HTTP of a TCP stream.
pub trait Transport: Clone + Send + Sync + 'static {
    /// What HTTP is spoken over.
    type Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static;

    /// Opens it, in bounded time.
    fn open(
        &self,
        stream: TcpStream,
    ) -> impl Future<Output = Result<Self::Stream, TurnedAway>> + Send;
}

/// HTTP over TCP.
#[derive(Clone, Copy, Debug)]
pub struct Plain;

impl Transport for Plain {
    type Stream = TcpStream;

    async fn open(&self, stream: TcpStream) -> Result<TcpStream, TurnedAway> {
        Ok(stream)
    }
}

/// HTTP over TLS, and a sentence for those who speak HTTP without it.
#[derive(Clone)]
pub struct Tls(TlsAcceptor);

impl Tls {
    /// With this certificate, as it is at each handshake.
    ///
    /// # Errors
    /// If ring cannot do TLS 1.3, which it can.
    pub fn new(certificate: &ServerCertificate) -> Result<Self, TlsError> {
        certificate.acceptor().map(Self)
    }
}

impl Transport for Tls {
    type Stream = tokio_rustls::server::TlsStream<TcpStream>;

    async fn open(&self, stream: TcpStream) -> Result<Self::Stream, TurnedAway> {
        let opened = timeout(HANDSHAKE, async {
            let mut first = [0];
            if stream.peek(&mut first).await? == 1 && first != [TLS_HANDSHAKE_RECORD] {
                return Ok(Err(stream));
            }
            self.0.accept(stream).await.map(Ok)
        });
        match opened.await {
            Ok(Ok(Ok(stream))) => Ok(stream),
            Ok(Ok(Err(plain))) => {
                if let Err(error) = say_tls_only(plain).await {
                    tracing::debug!(%error, "nobody to tell that this is TLS");
                }
                Err(TurnedAway::PlainHttp)
            }
            Ok(Err(error)) => {
                tracing::debug!(%error, "a handshake failed");
                Err(TurnedAway::Handshake)
            }
            Err(_) => Err(TurnedAway::Handshake),
        }
    }
}

/// What has arrived is read first: closing with bytes unread resets the connection, and the answer with it.
async fn say_tls_only(mut stream: TcpStream) -> io::Result<()> {
    let mut request = [0; 8192];
    let said = timeout(FAREWELL, async {
        let _heard = stream.read(&mut request).await?;
        stream.write_all(PLAIN).await?;
        stream.shutdown().await?;
        // Bounded by the peer's patience, and ours.
        while stream.read(&mut request).await? > 0 {}
        Ok(())
    });
    said.await.unwrap_or(Ok(()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sentence_is_as_long_as_it_says() {
        let text = std::str::from_utf8(PLAIN).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("content-length: {}", body.len())));
    }
}
