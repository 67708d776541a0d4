//! Attackers that send the largest pushes in parallel while the control loop is blocked.

use std::net::{Ipv4Addr, SocketAddr};

use hyper::service::service_fn;
use prometheus_client::registry::Registry;
use pushscale_daemon::http_server::{self, Plain};
use pushscale_daemon::shutdown::Shutdown;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;

use super::*;

const POD: Ipv4Addr = Ipv4Addr::LOCALHOST;
const PUSH: &str = include_str!("../../../protocol/testdata/overloaded-v1.json");

/// Only a hang takes longer.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Starts a push server without TLS and tokens. Returns its address and the events for the control loop.
async fn start(shutdown: &Shutdown) -> (SocketAddr, mpsc::Receiver<Event>) {
    let bound = http_server::bind("push", SocketAddr::from((POD, 0)));
    let bound = bound.await.unwrap();
    let address = bound.address();
    let metrics = Metrics::register(&mut Registry::default());
    let limits = Limits {
        connections: 2048,
        connections_per_address: 512,
        detect_hang_up: false,
        ..Limits::default()
    };
    let (events_tx, events) = mpsc::channel(1024);
    let ingest = Arc::new(Ingest {
        authenticator: Arc::new(Authenticator::new(None, &limits, metrics.clone())),
        events: events_tx,
        listed: Readiness::default(),
        pacing: Pacing::new(10_000, metrics.clone()),
        budget: body_budget(&limits),
        metrics,
    });
    let service_for = move |address, _: &_| {
        let ingest = Arc::clone(&ingest);
        let budget = ingest.budget.for_address(address);
        let connection = Arc::new(ConnectionToken::new(false));
        service_fn(move |request| {
            let (connection, budget) = (Arc::clone(&connection), budget.clone());
            Arc::clone(&ingest).handle(address, connection, budget, request)
        })
    };
    tokio::spawn(bound.serve_with(Plain, limits, service_for, |_| {}, shutdown.clone()));
    (address, events)
}

/// Sends the head of a push on a new connection.
async fn send_head(from: Ipv4Addr, to: SocketAddr, bytes: usize, headers: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from((from, 0))).unwrap();
    let mut stream = socket.connect(to).await.unwrap();
    let head = format!(
        "POST {PUSH_PATH} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {bytes}\r\n{headers}\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream
}

/// Sends the head of a push, and returns once the server waits for its body.
async fn announce(from: Ipv4Addr, to: SocketAddr, bytes: usize) -> TcpStream {
    let mut stream = send_head(from, to, bytes, "expect: 100-continue\r\n").await;
    let mut answer = [0; "HTTP/1.1 100 Continue\r\n\r\n".len()];
    let answered = timeout(TIMEOUT, stream.read_exact(&mut answer)).await;
    answered.unwrap().unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 100 "), "{answer:?}");
    stream
}

/// Sends a push on a new connection. Returns the status, and whether the response asks for a retry.
async fn push(from: Ipv4Addr, to: SocketAddr, body: Arc<[u8]>) -> (u16, bool) {
    let mut stream = send_head(from, to, body.len(), "").await;
    // A push that is rejected before its body was read ends the connection.
    stream.write_all(&body).await.ok();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.ok();
    let answer = String::from_utf8_lossy(&answer);
    let status = answer.split_whitespace().nth(1).unwrap_or("0");
    (
        status.parse().unwrap(),
        answer.contains("retry-after: 1\r\n"),
    )
}

/// Accepts the next push as the control loop does. Returns when the server received it.
async fn accept_next(events: &mut mpsc::Receiver<Event>) -> Instant {
    let Some(Event::Pushed(pushed)) = timeout(TIMEOUT, events.recv()).await.unwrap() else {
        panic!("no push");
    };
    pushed.reply.send(Verdict::Accepted { after: None }).ok();
    pushed.received
}

#[tokio::test(flavor = "multi_thread")]
async fn large_pushes_are_bounded_in_bytes_until_the_control_loop_handles_them() {
    const ATTACKERS: usize = 3;
    const HELD: usize = 32;
    assert_eq!(HELD * MAX_BODY_BYTES, BODY_LIMITS.total / 4);
    let shutdown = Shutdown::default();
    let (address, mut events) = start(&shutdown).await;
    let mut body = PUSH.as_bytes().to_vec();
    body.resize(MAX_BODY_BYTES, b' ');
    let body: Arc<[u8]> = body.into();
    let mut attacks = JoinSet::new();
    for _ in 0..HELD + 8 {
        for attacker in 2..2 + u8::try_from(ATTACKERS).unwrap() {
            let from = Ipv4Addr::new(127, 0, 0, attacker);
            attacks.spawn(push(from, address, Arc::clone(&body)));
        }
    }
    let held = timeout(TIMEOUT, async {
        while events.len() < HELD * ATTACKERS {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    held.await.unwrap();
    // Nothing becomes free while the control loop is blocked, even when the pushes have timed out.
    let ends = timeout(TIMEOUT, async {
        let mut rejected = 0;
        while rejected < 8 * ATTACKERS {
            match attacks.join_next().await.unwrap().unwrap() {
                (503, true) => rejected += 1,
                (429, true) => {}
                other => panic!("{other:?}"),
            }
        }
    });
    ends.await.unwrap();
    assert_eq!(events.len(), HELD * ATTACKERS);
    // Another address has its own share.
    let pod = tokio::spawn(push(POD, address, Arc::clone(&body)));
    for _ in 0..=HELD * ATTACKERS {
        accept_next(&mut events).await;
    }
    assert_eq!(pod.await.unwrap().0, 200);
    // The shares are free again.
    let again = tokio::spawn(push(Ipv4Addr::new(127, 0, 0, 2), address, body));
    accept_next(&mut events).await;
    assert_eq!(again.await.unwrap().0, 200);
    shutdown.cancel();
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_announce_large_pushes_and_send_nothing_do_not_keep_out_a_pod() {
    let held = BODY_LIMITS.total / 4 / MAX_BODY_BYTES;
    let shutdown = Shutdown::default();
    let (address, mut events) = start(&shutdown).await;
    let mut heads = JoinSet::new();
    for attacker in 2..6 {
        for _ in 0..held {
            let from = Ipv4Addr::new(127, 0, 0, attacker);
            heads.spawn(announce(from, address, MAX_BODY_BYTES));
        }
    }
    let _announced = heads.join_all().await;
    let pod = tokio::spawn(push(POD, address, PUSH.as_bytes().into()));
    accept_next(&mut events).await;
    assert_eq!(pod.await.unwrap().0, 200);
    shutdown.cancel();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reading_ages_from_the_head_of_its_push() {
    let shutdown = Shutdown::default();
    let (address, mut events) = start(&shutdown).await;
    let mut stream = announce(POD, address, PUSH.len()).await;
    let announced = Instant::now();
    stream.write_all(PUSH.as_bytes()).await.unwrap();
    let received = accept_next(&mut events).await;
    assert!(received < announced);
    shutdown.cancel();
}

#[test]
fn one_address_that_uses_its_share_does_not_slow_down_all_pods() {
    let outcome = |error: BodyError| PushError::from(error).outcome;
    assert_eq!(outcome(BodyError::Busy), PushOutcome::Overloaded);
    let of_address = outcome(BodyError::AddressBusy);
    assert_eq!(of_address, PushOutcome::BodyLimitReached);
}
