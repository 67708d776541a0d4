//! HTTP/1.1 servers: bind first, serve later, shut down gracefully.

mod connection;
mod connection_limit;
mod handshake_queue;
mod limits;
mod transport;
mod write_timeout;

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use hyper::Request;
use hyper::body::Incoming;
use hyper::service::Service;
use rustix::io::Errno;
use rustix::net::sockopt::set_ipv6_v6only;
use thiserror::Error;
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use crate::log_limiter::LogLimiter;
use crate::reply::Reply;
use crate::shutdown::Shutdown;
pub use connection_limit::{ConnectionLimit, ConnectionPermit};
pub use limits::Limits;
pub use transport::{Plain, Tls, Transport};

/// The pause after an accept error, such as too many open files, so that the accept loop does not spin.
const ACCEPT_ERROR_PAUSE: Duration = Duration::from_millis(200);

/// Connections that wait to be accepted, as in the standard library and tokio.
const BACKLOG: u32 = 1024;

/// A bound port that is not served yet.
#[derive(Debug)]
pub struct Bound {
    name: &'static str,
    listener: TcpListener,
    address: SocketAddr,
    connections: OpenConnections,
    error_log: LogLimiter,
}

/// The port could not be bound.
#[derive(Debug, Error)]
#[error("failed to bind {address} for the {name} server")]
pub struct BindError {
    name: &'static str,
    address: SocketAddr,
    source: io::Error,
}

/// Binds `address`; port 0 binds any free port. `[::]` accepts IPv6 and IPv4, or IPv4 alone on a host without IPv6.
///
/// # Errors
/// If the address is in use or does not belong to this host.
pub async fn bind(name: &'static str, address: SocketAddr) -> Result<Bound, BindError> {
    let failed = |source| BindError {
        name,
        address,
        source,
    };
    let listener = with_fallback(address, listen).map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    tracing::info!(server = name, %address, "listening");
    Ok(Bound {
        name,
        listener,
        address,
        connections: OpenConnections::default(),
        error_log: LogLimiter::default(),
    })
}

/// Calls `listen` with the address, and with `0.0.0.0` instead of `[::]` if the host has no IPv6.
fn with_fallback<T>(
    address: SocketAddr,
    listen: impl Fn(SocketAddr) -> io::Result<T>,
) -> io::Result<T> {
    let no_ipv6 = |error: &io::Error| {
        error.kind() == io::ErrorKind::AddrNotAvailable
            || error.raw_os_error() == Some(Errno::AFNOSUPPORT.raw_os_error())
    };
    match listen(address) {
        Err(error) if address.ip() == Ipv6Addr::UNSPECIFIED && no_ipv6(&error) => {
            tracing::debug!(%error, "no IPv6, listening on IPv4");
            listen((Ipv4Addr::UNSPECIFIED, address.port()).into())
        }
        listening => listening,
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    if address.ip() == Ipv6Addr::UNSPECIFIED {
        // The default depends on the host (sysctl net.ipv6.bindv6only).
        set_ipv6_v6only(&socket, false)?;
    }
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

impl Bound {
    /// Returns the bound address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits for a connection, and returns it with the client's address; `None` at shutdown. For servers of other
    /// protocols than HTTP/1.1, which [`serve_with`](Self::serve_with) serves.
    pub async fn accept(&self, shutdown: &Shutdown) -> Option<(TcpStream, IpAddr)> {
        loop {
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                () = shutdown.cancelled() => return None,
            };
            match accepted {
                Ok((stream, peer)) => return Some((stream, peer.ip().to_canonical())),
                Err(error) => {
                    if let Some(left_out) = self.error_log.allow(Instant::now()) {
                        tracing::warn!(server = self.name, %error, left_out, "failed to accept a connection");
                    }
                    tokio::time::sleep(ACCEPT_ERROR_PAUSE).await;
                }
            }
        }
    }

    /// Returns the number of open connections, also while the port is served.
    pub fn open_connections(&self) -> OpenConnections {
        self.connections.clone()
    }

    /// Serves plain HTTP until `shutdown`, then finishes in-flight requests within the grace period.
    pub async fn serve<S>(self, limits: Limits, service: S, shutdown: Shutdown)
    where
        S: Service<Request<Incoming>, Response = Reply, Error = Infallible>
            + Clone
            + Send
            + Sync
            + 'static,
        S::Future: Send,
    {
        self.serve_with(Plain, limits, move |_, _| service.clone(), |_| {}, shutdown)
            .await;
    }

    /// Serves over `transport` like [`serve`](Self::serve). `service_for` builds the service of each connection from
    /// its client's address and its stream; `on_reject` is called for connections that are rejected.
    pub async fn serve_with<T, M, S>(
        self,
        transport: T,
        limits: Limits,
        service_for: M,
        on_reject: impl Fn(ConnectionRejection) + Clone + Send + 'static,
        shutdown: Shutdown,
    ) where
        T: Transport,
        M: Fn(IpAddr, &T::Stream) -> S + Clone + Send + 'static,
        S: Service<Request<Incoming>, Response = Reply, Error = Infallible> + Send + Sync + 'static,
        S::Future: Send,
    {
        let limit = ConnectionLimit::new(limits.connections, limits.connections_per_address);
        while let Some((stream, peer)) = self.accept(&shutdown).await {
            let permit = match limit.acquire(peer) {
                Ok(permit) => permit,
                Err(reason) => {
                    tracing::debug!(server = self.name, %peer, ?reason, "connection rejected");
                    on_reject(reason);
                    T::reject(stream);
                    continue;
                }
            };
            let open = self.connections.open();
            let (transport, shutdown) = (transport.clone(), shutdown.clone());
            let (service_for, on_reject) = (service_for.clone(), on_reject.clone());
            tokio::spawn(async move {
                // Small responses must not wait for the peer's delayed acknowledgement (40 ms).
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%error, "failed to set TCP_NODELAY");
                }
                // A task keeps the size of its largest state: 8 kB of each TLS connection were those of its handshake.
                match Box::pin(transport.accept(peer, stream)).await {
                    Ok(stream) => {
                        let service = service_for(peer, &stream);
                        connection::serve(stream, limits, service, shutdown).await;
                    }
                    Err(reason) => on_reject(reason),
                }
                drop((permit, open));
            });
        }
        // No connection is accepted from here on; open ones hold their permits until they end.
        if !limit.all_returned(limits.grace).await {
            tracing::warn!(server = self.name, "grace period over, requests cut off");
        }
    }
}

/// The number of open connections of one server. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct OpenConnections(Arc<AtomicUsize>);

impl OpenConnections {
    /// Returns the number of open connections, with those whose handshake is in progress.
    pub fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    /// Counts a connection until the result is dropped.
    fn open(&self) -> OpenConnection {
        self.0.fetch_add(1, Ordering::Relaxed);
        OpenConnection(self.clone())
    }
}

/// One connection of [`OpenConnections`].
struct OpenConnection(OpenConnections);

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Why a connection was rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ConnectionRejection {
    /// The connection limit was reached.
    LimitReached,
    /// The limit of one address was reached.
    AddressLimitReached,
    /// The client sent HTTP to a TLS port.
    PlainHttp,
    /// The TLS handshake failed.
    HandshakeFailed,
}

#[cfg(test)]
mod tests;
