//! A TCP port that remains reserved, even while no server listens on it.

use std::io;
use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpSocket};

/// A port that the kernel assigns to no other process while this value exists.
///
/// The socket is bound and does not listen, so a connection is refused unless a second socket listens on the same
/// address. `SO_REUSEADDR` on both sockets allows that; Java sets it as well. A server can therefore stop and restart,
/// or another process can start it, without a race.
#[derive(Debug)]
pub(crate) struct ReservedPort {
    address: SocketAddr,
    _bound: TcpSocket,
}

impl ReservedPort {
    /// Reserves `address`. With port 0, the kernel chooses a free port.
    pub(crate) fn take(address: SocketAddr) -> io::Result<Self> {
        let bound = bind(address)?;
        Ok(Self {
            address: bound.local_addr()?,
            _bound: bound,
        })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Accepts connections until the listener is dropped. Connections are then refused again.
    pub(crate) fn listen(&self) -> io::Result<TcpListener> {
        bind(self.address)?.listen(1024)
    }
}

fn bind(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use tokio::net::TcpStream;

    use super::*;

    #[tokio::test]
    async fn a_port_accepts_connections_only_while_it_is_served() {
        let port = ReservedPort::take((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        for _ in 0..3 {
            let refused = TcpStream::connect(port.address()).await.unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);

            let listener = port.listen().unwrap();
            let _client = TcpStream::connect(port.address()).await.unwrap();
            let _server = listener.accept().await.unwrap();
        }
    }

    #[tokio::test]
    async fn a_reserved_port_is_not_assigned_again() {
        let reserved: Vec<_> = (0..200)
            .map(|_| ReservedPort::take((Ipv4Addr::LOCALHOST, 0).into()).unwrap())
            .collect();
        let mut ports: Vec<_> = reserved.iter().map(|r| r.address().port()).collect();
        ports.sort_unstable();
        ports.dedup();
        assert_eq!(ports.len(), reserved.len());
    }
}
