//! HTTP/1.1 servers: bind first, serve later, leave in order.

mod places;
mod transport;

use std::convert::Infallible;
use std::io::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::time::Duration;

use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::Service;
use hyper_util::rt::{TokioIo, TokioTimer};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};

use crate::reply::Reply;
use crate::shutdown::Stop;
use places::Places;
pub use transport::{Plain, Tls, Transport};

/// After an accept error, such as too many open files, the loop rests instead of burning a core.
const REST_AFTER_ACCEPT_ERROR: Duration = Duration::from_millis(200);

/// Said to a connection beyond the limit, without parsing a byte of it.
const FULL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\n\
content-length: 32\r\nretry-after: 5\r\nconnection: close\r\n\r\n{\"error\":\"too many connections\"}";

/// A port that is taken and not served yet.
#[derive(Debug)]
pub struct Bound {
    name: &'static str,
    listener: TcpListener,
    address: SocketAddr,
}

/// A port could not be taken.
#[derive(Debug, Error)]
#[error("listen on {address} for {name}")]
pub struct BindError {
    name: &'static str,
    address: SocketAddr,
    source: std::io::Error,
}

/// How much a server lets strangers have.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections at a time; one more is told 503.
    pub connections: usize,
    /// Connections at a time from one address.
    pub connections_of_one: usize,
    /// How long a request's head may take, and how long a connection may be idle between two requests.
    pub idle: Duration,
    /// The largest head, in bytes. hyper takes no less than 8192.
    pub head_bytes: usize,
    /// How long requests in hand may take after the stop.
    pub grace: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 64,
            connections_of_one: usize::MAX,
            idle: Duration::from_secs(75),
            head_bytes: 8192,
            grace: Duration::from_secs(5),
        }
    }
}

/// Takes a port; port 0 takes any free one.
///
/// # Errors
/// If the address is taken or not ours.
pub async fn bind(name: &'static str, address: SocketAddr) -> Result<Bound, BindError> {
    let failed = |source| BindError {
        name,
        address,
        source,
    };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    tracing::info!(server = name, %address, "listening");
    Ok(Bound {
        name,
        listener,
        address,
    })
}

impl Bound {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves plain HTTP until `stop`, then finishes the requests in hand within the grace period.
    pub async fn serve<S>(self, limits: Limits, service: S, stop: Stop)
    where
        S: Service<Request<Incoming>, Response = Reply, Error = Infallible>
            + Clone
            + Send
            + 'static,
        S::Future: Send,
    {
        self.serve_over(Plain, limits, move |_| service.clone(), |_| {}, stop)
            .await;
    }

    /// The same over `transport`, each connection with the service that `service_of` makes for its address;
    /// `turned_away` hears of those that get none.
    pub async fn serve_over<T, M, S>(
        self,
        transport: T,
        limits: Limits,
        service_of: M,
        turned_away: impl Fn(TurnedAway) + Clone + Send + 'static,
        stop: Stop,
    ) where
        T: Transport,
        M: Fn(IpAddr) -> S + Clone + Send + 'static,
        S: Service<Request<Incoming>, Response = Reply, Error = Infallible> + Send + 'static,
        S::Future: Send,
    {
        let places = Places::new(limits.connections, limits.connections_of_one);
        loop {
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                () = stop.cancelled() => break,
            };
            let (stream, peer) = match accepted {
                Ok((stream, peer)) => (stream, peer.ip().to_canonical()),
                Err(error) => {
                    tracing::warn!(server = self.name, %error, "a connection was not accepted");
                    tokio::time::sleep(REST_AFTER_ACCEPT_ERROR).await;
                    continue;
                }
            };
            let place = match places.take(peer) {
                Ok(place) => place,
                Err(why) => {
                    tracing::debug!(server = self.name, %peer, ?why, "connection refused");
                    turned_away(why);
                    refuse(stream);
                    continue;
                }
            };
            let (transport, stop) = (transport.clone(), stop.clone());
            let (service_of, turned_away) = (service_of.clone(), turned_away.clone());
            tokio::spawn(async move {
                // Small answers must not wait for the peer's delayed acknowledgement (40 ms).
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%error, "no TCP_NODELAY");
                }
                match transport.open(stream).await {
                    Ok(stream) => serve_connection(stream, limits, service_of(peer), stop).await,
                    Err(why) => turned_away(why),
                }
                drop(place);
            });
        }
        // No more connections are accepted from here on; those in hand hold their places until they end.
        if !places.all_given_back(limits.grace).await {
            tracing::warn!(
                server = self.name,
                "requests were cut off by the grace period"
            );
        }
    }
}

/// Why a connection got no service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TurnedAway {
    /// All places were taken.
    Full,
    /// The address had as many as one may have.
    TooManyOfOneAddress,
    /// It spoke HTTP where TLS is asked for.
    PlainHttp,
    /// TLS did not come about.
    Handshake,
}

/// One write into an empty socket buffer does not block; if it fails, the peer is gone anyway. Not through
/// tokio, which would first wait to hear that the socket can be written.
fn refuse(stream: TcpStream) {
    if let Err(error) = stream
        .into_std()
        .and_then(|mut stream| stream.write_all(FULL))
    {
        tracing::debug!(%error, "nobody to refuse");
    }
}

async fn serve_connection<T, S>(stream: T, limits: Limits, service: S, stop: Stop)
where
    T: AsyncRead + AsyncWrite + Unpin,
    S: Service<Request<Incoming>, Response = Reply, Error = Infallible>,
{
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.idle)
        .max_buf_size(limits.head_bytes.max(8192))
        // Head and body of a small answer are cheaper to copy into one buffer than to gather.
        .writev(false)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    let outcome = tokio::select! {
        outcome = connection.as_mut() => outcome,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            tokio::time::timeout(limits.grace, connection)
                .await
                .unwrap_or(Ok(()))
        }
    };
    if let Err(error) = outcome {
        tracing::debug!(%error, "a connection ended badly");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_refusal_is_as_long_as_it_says() {
        let text = std::str::from_utf8(FULL).unwrap();
        let (_, body) = text.split_once("\r\n\r\n").unwrap();
        assert_eq!(body.len(), 32);
        assert!(text.contains("content-length: 32\r\n"));
    }
}
