//! Measures pushes per second on one core, up to the decision: plain, with tokens, and with tokens over TLS. The
//! baseline is a bare hyper server that only reads the body, without and with TLS.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use pushscale_aggregator::PushSecurity;
use pushscale_daemon::http_server::{Plain, Tls, Transport};
use pushscale_daemon::tls::{CaBundle, ClientStream, ServerCertificate};
use pushscale_decision::{Bounds, Latency, Policy, TargetLatency};
use pushscale_tests::authority::Authority as Certified;
use pushscale_tests::fake_cluster::FakeCluster;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_util::either::Either;

use crate::cpu;
use crate::pushes::{AcceptAllTokens, LATE, Requests, body, number, token};
use crate::spread::Spread;

const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_secs(3);
/// The number of pods, each with a connection that it keeps. A pod pushes at most every 50 ms, so it takes many to fill
/// a core of a fast machine.
const PODS: usize = 6144;

/// Connections that the driver opens at a time. An address may have ten token reviews in progress, and all connections
/// at once would exceed the listener's backlog.
const OPENING: usize = 8;

/// Pushes in flight at a time, over all connections in turn. More than the control loop's queue holds, 1,024, would be
/// answered with 429, which costs less than a decision.
const IN_FLIGHT: usize = 512;

/// How long an open connection waits for the others before it pushes again. The server closes idle ones after 75 s.
const KEEP_ALIVE: Duration = Duration::from_secs(20);

/// Prints pushes per second of CPU time.
pub(crate) fn run() {
    pushscale_daemon::open_files::raise_limit();
    let body = body("torchserve-0", 1.0);
    println!("  a push of one model: {} bytes of JSON", body.len());
    println!("  a token: {} bytes", token("torchserve-0", LATE).len());
    let mut of_each = Variant::ALL.map(|_| Vec::new());
    let mut rejected = Variant::ALL.map(|_| 0);
    // In turns, so that a slow phase of the machine affects all of them.
    for _ in 0..ROUNDS {
        for (number, variant) in Variant::ALL.into_iter().enumerate() {
            let found = measure(variant);
            of_each[number].push(found.per_second);
            rejected[number] += found.rejected;
        }
    }
    let bare = of_each[0].clone();
    for ((figures, variant), rejected) in of_each.into_iter().zip(Variant::ALL).zip(rejected) {
        let ratios = figures.iter().zip(&bare).map(|(ours, bare)| ours / bare);
        let ratios = Spread::of(ratios.collect());
        let figures = Spread::of(figures);
        println!(
            "  {:<22} {figures:.0} pushes/s a core (min / median / mean / max)",
            variant.name()
        );
        println!(
            "  {:<22} {ratios:.2} of bare hyper; {rejected} rejected",
            ""
        );
    }
}

/// What is measured.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Variant {
    BareHyper,
    BareHyperOverTls,
    Plain,
    Tokens,
    TokensOverTls,
}

impl Variant {
    const ALL: [Self; 5] = [
        Self::BareHyper,
        Self::BareHyperOverTls,
        Self::Plain,
        Self::Tokens,
        Self::TokensOverTls,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::BareHyper => "bare hyper",
            Self::BareHyperOverTls => "bare hyper over TLS",
            Self::Plain => "aggregator",
            Self::Tokens => "with tokens",
            Self::TokensOverTls => "with tokens over TLS",
        }
    }

    fn over_tls(self) -> bool {
        matches!(self, Self::BareHyperOverTls | Self::TokensOverTls)
    }
}

/// The time that is measured: once all connections are open and have pushed, and until the end.
#[derive(Default)]
struct Phase {
    started: AtomicBool,
    over: AtomicBool,
    /// Whether the pushes in flight at the end were answered. The server runs until then: if it ended at once, the
    /// kernel would reset their connections.
    answered: AtomicBool,
}

impl Phase {
    /// Returns the CPU time of this thread while it is measured.
    async fn measure(&self) -> u64 {
        wait(&self.started).await;
        let before = cpu::of_this_thread();
        wait(&self.over).await;
        let used = cpu::of_this_thread() - before;
        wait(&self.answered).await;
        used
    }
}

/// What one variant did in one round.
struct Measured {
    /// Accepted pushes per second of the server thread's CPU time.
    per_second: f64,
    /// Pushes that were answered with 429.
    rejected: u64,
}

/// Measures one variant for one round.
fn measure(variant: Variant) -> Measured {
    let phase = Arc::new(Phase::default());
    let (address_tx, address_rx) = mpsc::channel();
    let measured = Arc::clone(&phase);
    let authority = Arc::new(Certified::new("bench"));
    let issuer = Arc::clone(&authority);
    let server = thread::spawn(move || {
        cpu::pin(0);
        match variant {
            Variant::BareHyper => bare_hyper(Plain, address_tx, &measured),
            Variant::BareHyperOverTls => {
                let transport = Tls::new(&certificate(&issuer)).unwrap();
                bare_hyper(transport, address_tx, &measured)
            }
            _ => aggregator(variant, &issuer, address_tx, &measured),
        }
    });
    let address = address_rx.recv().unwrap();
    let client = thread::spawn(move || {
        cpu::pin(1);
        drive(variant, &authority, address, &phase)
    });
    let (accepted, rejected) = client.join().unwrap();
    let nanoseconds = server.join().unwrap();
    Measured {
        per_second: accepted as f64 / (nanoseconds as f64 / 1e9),
        rejected,
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

/// Runs the aggregator on one thread and returns the CPU time that it used.
fn aggregator(
    variant: Variant,
    authority: &Certified,
    address_tx: mpsc::Sender<SocketAddr>,
    phase: &Phase,
) -> u64 {
    runtime().block_on(async {
        let target = TargetLatency::new(Latency::from_nanos(7_000_000)).unwrap();
        let policy = Policy::new(Bounds::new(1, 10_000).unwrap(), target);
        let mut push_security = PushSecurity::default();
        if variant != Variant::Plain {
            push_security.reviewer = Some(Arc::new(AcceptAllTokens));
        }
        if variant == Variant::TokensOverTls {
            push_security.certificate = Some(certificate(authority));
        }
        let address = (Ipv4Addr::LOCALHOST, 0).into();
        let connections = PODS.to_string();
        let settings = [
            ("PUSHSCALE_AGGREGATOR_MAX_CONNECTIONS", connections.as_str()),
            (
                "PUSHSCALE_AGGREGATOR_MAX_CONNECTIONS_PER_ADDRESS",
                &connections,
            ),
            ("PUSHSCALE_AGGREGATOR_MAX_PUSHES_PER_SECOND", "1000000"),
        ];
        let mut cluster = FakeCluster::start_with_settings(address, push_security, &settings).await;
        cluster.apply(policy, PODS as u32).await;
        for pod in 0..PODS {
            cluster.add_pod(&format!("torchserve-{pod}")).await;
        }
        cluster.until_handled().await;
        address_tx.send(cluster.push).unwrap();
        phase.measure().await
    })
}

fn certificate(authority: &Certified) -> ServerCertificate {
    let certificate = ServerCertificate::default();
    authority.certify(&certificate, "127.0.0.1");
    certificate
}

/// Runs a hyper server that reads the body and answers `{}`.
fn bare_hyper(
    transport: impl Transport,
    address_tx: mpsc::Sender<SocketAddr>,
    phase: &Phase,
) -> u64 {
    runtime().block_on(async {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        address_tx.send(listener.local_addr().unwrap()).unwrap();
        tokio::spawn(async move {
            while let Ok((stream, peer)) = listener.accept().await {
                stream.set_nodelay(true).unwrap();
                let service = service_fn(|request: Request<Incoming>| async {
                    request.into_body().collect().await.unwrap();
                    Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(b"{}"))))
                });
                let transport = transport.clone();
                tokio::spawn(async move {
                    let stream = transport.accept(peer.ip(), stream).await.unwrap();
                    let http = http1::Builder::new();
                    http.serve_connection(TokioIo::new(stream), service)
                        .await
                        .ok();
                });
            }
        });
        phase.measure().await
    })
}

async fn wait(flag: &AtomicBool) {
    while !flag.load(Ordering::Relaxed) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Pushes over all connections in turn, and returns how many pushes were accepted and rejected while it is measured.
fn drive(
    variant: Variant,
    authority: &Certified,
    address: SocketAddr,
    phase: &Arc<Phase>,
) -> (u64, u64) {
    let ca = std::env::temp_dir().join(format!("pushscale-bench-{}.crt", std::process::id()));
    std::fs::write(&ca, authority.pem()).unwrap();
    let trusted = variant.over_tls().then(|| CaBundle::from_file(ca.clone()));
    let [open, accepted, rejected] = [(); 3].map(|()| Arc::new(AtomicU64::new(0)));
    let opening = Arc::new(Semaphore::new(OPENING));
    let in_flight = Arc::new(Semaphore::new(IN_FLIGHT));
    runtime().block_on(async {
        let mut tasks = Vec::new();
        for pod in 0..PODS {
            let Requests { first, next } = Requests::of(&format!("torchserve-{pod}"), 1.0);
            // Tokens are remembered over TLS only.
            let (first, next) = match variant {
                Variant::BareHyper | Variant::BareHyperOverTls | Variant::Plain => {
                    (next.clone(), next)
                }
                Variant::Tokens => (first.clone(), first),
                Variant::TokensOverTls => (first, next),
            };
            let phase = Arc::clone(phase);
            let (open, accepted, rejected) = (open.clone(), accepted.clone(), rejected.clone());
            let (trusted, opening) = (trusted.clone(), Arc::clone(&opening));
            let in_flight = Arc::clone(&in_flight);
            tasks.push(tokio::spawn(async move {
                let permit = opening.acquire().await.unwrap();
                let mut stream = connect(address, trusted).await;
                let mut sequence = 1;
                let mut first = first;
                while !exchange(&mut stream, &mut first, sequence).await {
                    sequence += 1;
                }
                drop((permit, first));
                open.fetch_add(1, Ordering::Relaxed);
                let mut request = next;
                while timeout(KEEP_ALIVE, wait(&phase.started)).await.is_err() {
                    sequence += 1;
                    exchange(&mut stream, &mut request, sequence).await;
                }
                while !phase.over.load(Ordering::Relaxed) {
                    let _turn = in_flight.acquire().await.unwrap();
                    sequence += 1;
                    let count = if exchange(&mut stream, &mut request, sequence).await {
                        &accepted
                    } else {
                        &rejected
                    };
                    // The CPU time of a later answer is not measured.
                    if !phase.over.load(Ordering::Relaxed) {
                        count.fetch_add(1, Ordering::Relaxed);
                    }
                }
            }));
        }
        while open.load(Ordering::Relaxed) < PODS as u64 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        phase.started.store(true, Ordering::Relaxed);
        // The driver never sleeps: otherwise the slower server, whose driver sometimes has nothing to do, would also
        // pay for waking it, and the faster one would not.
        let start = Instant::now();
        while start.elapsed() < ROUND {
            tokio::task::yield_now().await;
        }
        phase.over.store(true, Ordering::Relaxed);
        for task in tasks {
            task.await.unwrap();
        }
        phase.answered.store(true, Ordering::Relaxed);
    });
    std::fs::remove_file(ca).unwrap();
    (
        accepted.load(Ordering::Relaxed),
        rejected.load(Ordering::Relaxed),
    )
}

type Stream = Either<TcpStream, Box<ClientStream>>;

async fn connect(address: SocketAddr, trusted: Option<CaBundle>) -> Stream {
    let stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    match trusted {
        Some(trusted) => {
            let opened = trusted.open("127.0.0.1", stream).await.unwrap();
            Either::Right(Box::new(opened))
        }
        None => Either::Left(stream),
    }
}

/// Sends a push with this sequence number and reads its answer. Returns whether it was accepted.
async fn exchange(stream: &mut Stream, request: &mut [u8], sequence: usize) -> bool {
    let mut answer = [0; 1024];
    number(request, sequence);
    stream.write_all(request).await.unwrap();
    // Both servers answer in one TCP segment.
    let read = stream.read(&mut answer).await.unwrap();
    let text = &answer[..read];
    let accepted = text.starts_with(b"HTTP/1.1 200");
    assert!(
        accepted || text.starts_with(b"HTTP/1.1 429"),
        "{}",
        String::from_utf8_lossy(text)
    );
    accepted
}
