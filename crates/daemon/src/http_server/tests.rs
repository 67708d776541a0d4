use prometheus_client::registry::Registry;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpSocket;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::*;
use crate::admin::{Admin, NoPages};
use crate::readiness::Readiness;
use crate::tls::ServerCertificate;

const KUBELET: Ipv4Addr = Ipv4Addr::LOCALHOST;
const ATTACKER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// Only a hang takes this long.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Waits until `condition` holds, and fails with `what` if it never does.
async fn until(what: &str, condition: impl Fn() -> bool) {
    let waited = timeout(TIMEOUT, async {
        while !condition() {
            sleep(Duration::from_millis(10)).await;
        }
    });
    assert!(waited.await.is_ok(), "{what}");
}

async fn connect(from: Ipv4Addr, to: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from((from, 0))).unwrap();
    socket.connect(to).await.unwrap()
}

/// Starts an admin server with the default limits. It stops with the returned token.
async fn admin_server(address: SocketAddr) -> (SocketAddr, Shutdown) {
    let bound = bind("admin", address).await.unwrap();
    let port = bound.address();
    let shutdown = Shutdown::new();
    let pages = Admin::new(Readiness::default(), Registry::default(), NoPages);
    tokio::spawn(bound.serve(Limits::default(), pages, shutdown.clone()));
    (port, shutdown)
}

async fn live(mut stream: TcpStream) -> String {
    let request = b"GET /live HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).await.unwrap();
    response.lines().next().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn the_default_address_serves_ipv6_and_ipv4() {
    let (port, shutdown) = admin_server(SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0))).await;
    let ipv4 = SocketAddr::from((KUBELET, port.port()));
    assert_eq!(live(connect(KUBELET, ipv4).await).await, "HTTP/1.1 200 OK");
    // A host without IPv6 has listened on IPv4 alone.
    if port.is_ipv6() {
        let ipv6 = SocketAddr::from((Ipv6Addr::LOCALHOST, port.port()));
        let stream = TcpStream::connect(ipv6).await.unwrap();
        assert_eq!(live(stream).await, "HTTP/1.1 200 OK");
    }
    shutdown.cancel();
}

#[test]
fn without_ipv6_the_server_listens_on_ipv4() {
    let any = SocketAddr::from((Ipv6Addr::UNSPECIFIED, 8490));
    let one = SocketAddr::from((Ipv6Addr::LOCALHOST, 8490));
    let no_socket = Errno::AFNOSUPPORT.raw_os_error();
    let no_address = Errno::ADDRNOTAVAIL.raw_os_error();
    let in_use = Errno::ADDRINUSE.raw_os_error();
    for (address, error, expected) in [
        (any, no_socket, Some("0.0.0.0:8490")),
        (any, no_address, Some("0.0.0.0:8490")),
        (any, in_use, None),
        (one, no_address, None),
    ] {
        let listening = with_fallback(address, |address| match address {
            SocketAddr::V4(_) => Ok(address.to_string()),
            SocketAddr::V6(_) => Err(io::Error::from_raw_os_error(error)),
        });
        assert_eq!(listening.ok().as_deref(), expected, "{address} {error}");
    }
}

#[tokio::test]
async fn open_connections_are_counted() {
    let bound = bind("admin", SocketAddr::from((KUBELET, 0))).await.unwrap();
    let port = bound.address();
    let connections = bound.open_connections();
    let shutdown = Shutdown::new();
    let pages = Admin::new(Readiness::default(), Registry::default(), NoPages);
    let server = tokio::spawn(bound.serve(Limits::default(), pages, shutdown.clone()));
    let idle = connect(KUBELET, port).await;
    assert_eq!(live(connect(KUBELET, port).await).await, "HTTP/1.1 200 OK");
    assert!(connections.count() >= 1, "{}", connections.count());
    drop(idle);
    shutdown.cancel();
    server.await.unwrap();
    until("closed connections are counted", || {
        connections.count() == 0
    })
    .await;
}

#[tokio::test]
async fn idle_connections_of_one_client_do_not_keep_the_kubelets_probe_out() {
    // As by default: the clients' addresses are IPv4-mapped, all in the same IPv6 network.
    let (port, shutdown) = admin_server(SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0))).await;
    let port = SocketAddr::from((KUBELET, port.port()));
    let mut attack = JoinSet::new();
    for _ in 0..64 {
        // Connections are accepted in order, so all of these before the probes.
        let mut held = connect(ATTACKER, port).await;
        attack.spawn(async move {
            loop {
                if held.read(&mut [0; 256]).await.unwrap_or(0) == 0 {
                    held = connect(ATTACKER, port).await;
                }
            }
        });
    }
    for _ in 0..20 {
        assert_eq!(live(connect(KUBELET, port).await).await, "HTTP/1.1 200 OK");
    }
    shutdown.cancel();
}

#[tokio::test]
async fn over_the_limit_only_plain_http_gets_a_response() {
    let certificate = ServerCertificate::default();
    for (is_tls, expected) in [(true, ""), (false, "HTTP/1.1 503 Service Unavailable")] {
        let bound = bind("admin", SocketAddr::from((KUBELET, 0))).await.unwrap();
        let port = bound.address();
        let shutdown = Shutdown::new();
        let limits = Limits {
            connections: 0,
            ..Limits::default()
        };
        let pages = Admin::new(Readiness::default(), Registry::default(), NoPages);
        if is_tls {
            let tls = Tls::new(&certificate).unwrap();
            let pages_for = move |_, _: &_| pages.clone();
            tokio::spawn(bound.serve_with(tls, limits, pages_for, |_| {}, shutdown.clone()));
        } else {
            tokio::spawn(bound.serve(limits, pages, shutdown.clone()));
        }
        let mut stream = connect(KUBELET, port).await;
        let mut response = Vec::new();
        timeout(TIMEOUT, stream.read_to_end(&mut response))
            .await
            .unwrap()
            .unwrap();
        let response = String::from_utf8(response).unwrap();
        assert_eq!(response.lines().next().unwrap_or_default(), expected);
        shutdown.cancel();
    }
}

#[tokio::test]
async fn a_client_that_reads_nothing_is_cut_off_and_holds_little_memory() {
    const PART: usize = 64 << 10;
    let bound = bind("stream", SocketAddr::from((KUBELET, 0)))
        .await
        .unwrap();
    let port = bound.address();
    let connections = bound.open_connections();
    let shutdown = Shutdown::new();
    let limits = Limits {
        idle: Duration::from_millis(200),
        ..Limits::default()
    };
    let produced = Arc::new(AtomicUsize::new(0));
    let parts = Arc::clone(&produced);
    let service = hyper::service::service_fn(move |_request| {
        let parts = Arc::clone(&parts);
        let endless = futures_util::stream::repeat_with(move || {
            parts.fetch_add(1, Ordering::Relaxed);
            bytes::Bytes::from_static(&[b'x'; PART])
        });
        async { Ok(crate::reply::stream("text/plain", endless)) }
    });
    let server = tokio::spawn(bound.serve(limits, service, shutdown.clone()));
    let mut client = connect(KUBELET, port).await;
    let request = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n";
    client.write_all(request).await.unwrap();
    until("the client is not cut off", || {
        produced.load(Ordering::Relaxed) > 0 && connections.count() == 0
    })
    .await;
    // What the sockets' buffers take, and no more.
    let bytes = produced.load(Ordering::Relaxed) * PART;
    assert!(bytes < 32 << 20, "{bytes}");
    shutdown.cancel();
    server.await.unwrap();
}
