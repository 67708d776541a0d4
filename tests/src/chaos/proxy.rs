//! A TCP proxy between an aggregator and the API server, which can fail.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;

/// What the network does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Network {
    /// It forwards everything.
    Works,
    /// It closes all connections and accepts none.
    Refuses,
    /// It accepts connections and forwards nothing in either direction, like a firewall that drops packets.
    Drops,
    /// It forwards the requests, and closes the connection instead of a response.
    LosesResponses,
    /// It forwards everything after this time.
    Delays(Duration),
    /// It closes each connection after this time.
    Cuts(Duration),
}

/// A running proxy, which ends when dropped.
#[derive(Debug)]
pub(super) struct Proxy {
    address: SocketAddr,
    network: watch::Sender<Network>,
    _task: JoinSet<()>,
}

impl Proxy {
    /// Starts a proxy for this server.
    pub(super) async fn start(server: SocketAddr) -> std::io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let network = watch::Sender::new(Network::Works);
        let mut task = JoinSet::new();
        task.spawn(accept(listener, server, network.subscribe()));
        Ok(Self {
            address,
            network,
            _task: task,
        })
    }

    /// Returns the address that it accepts connections on.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Changes what the network does. Existing connections are affected as well.
    pub(super) fn set(&self, network: Network) {
        self.network.send_replace(network);
    }
}

async fn accept(listener: TcpListener, server: SocketAddr, network: watch::Receiver<Network>) {
    // Aborts the connections when the proxy is dropped.
    let mut connections = JoinSet::new();
    loop {
        let Ok((client, _)) = listener.accept().await else {
            continue;
        };
        while connections.try_join_next().is_some() {}
        if *network.borrow() == Network::Refuses {
            continue;
        }
        connections.spawn(connect(client, server, network.clone()));
    }
}

async fn connect(client: TcpStream, server: SocketAddr, mut network: watch::Receiver<Network>) {
    let Ok(server) = TcpStream::connect(server).await else {
        return;
    };
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let requests = forward(from_client, to_server, network.clone(), false);
    let responses = forward(from_server, to_client, network.clone(), true);
    let cut = async {
        let seen =
            network.wait_for(|network| matches!(network, Network::Refuses | Network::Cuts(_)));
        let delay = match seen.await.as_deref() {
            Ok(Network::Cuts(delay)) => *delay,
            _ => Duration::ZERO,
        };
        sleep(delay).await;
    };
    // A connection ends as a whole.
    tokio::select! {
        () = requests => {}
        () = responses => {}
        () = cut => {}
    }
}

/// Forwards one direction until it ends.
async fn forward(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut network: watch::Receiver<Network>,
    is_response: bool,
) {
    let mut buffer = vec![0; 64 << 10];
    loop {
        let Ok(length @ 1..) = from.read(&mut buffer).await else {
            return;
        };
        let now = *network.borrow_and_update();
        match now {
            Network::Drops => {
                let changed = network.wait_for(|network| *network != Network::Drops).await;
                if changed.is_err() {
                    return;
                }
            }
            Network::LosesResponses if is_response => return,
            Network::Delays(delay) => sleep(delay).await,
            _ => {}
        }
        if to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
}
