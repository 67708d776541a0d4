//! Measures pushes per second on one core, up to the decision: plain, with tokens, and with tokens over TLS. The
//! baseline is a bare hyper server that only reads the body.

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
use pushscale_daemon::tls::{CaBundle, ClientStream, ServerCertificate};
use pushscale_decision::{Bounds, Latency, Policy, TargetLatency};
use pushscale_tests::authority::Authority as Certified;
use pushscale_tests::fake_cluster::FakeCluster;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::either::Either;

use crate::cpu;
use crate::pushes::{AcceptAllTokens, body, number, request, request_without_token, token};
use crate::spread::Spread;

const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_secs(3);
/// The number of concurrent keep-alive connections.
const CONNECTIONS: usize = 64;
/// The number of pods. Each pushes at most every 50 ms, so it takes many to fill a core.
const PODS_A_CONNECTION: usize = 80;

/// Prints pushes per second of CPU time.
pub(crate) fn run() {
    let body = body("torchserve-0", 1);
    println!("  a push of one model: {} bytes of JSON", body.len());
    println!("  a token: {} bytes", token("torchserve-0").len());
    let mut of_each = Subject::ALL.map(|_| Vec::new());
    // In turns, so that a slow phase of the machine affects all of them.
    for _ in 0..ROUNDS {
        for (figures, subject) in of_each.iter_mut().zip(Subject::ALL) {
            figures.push(measure(subject));
        }
    }
    let bare = of_each[0].clone();
    for (figures, subject) in of_each.into_iter().zip(Subject::ALL) {
        let ratios = figures.iter().zip(&bare).map(|(ours, bare)| ours / bare);
        let ratios = Spread::of(ratios.collect());
        let figures = Spread::of(figures);
        println!(
            "  {:<22} {figures:.0} pushes/s a core (min / median / mean / max)",
            subject.name()
        );
        println!("  {:<22} {ratios:.2} of bare hyper", "");
    }
}

/// What is measured.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Subject {
    BareHyper,
    Plain,
    Tokens,
    TokensOverTls,
}

impl Subject {
    const ALL: [Self; 4] = [
        Self::BareHyper,
        Self::Plain,
        Self::Tokens,
        Self::TokensOverTls,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::BareHyper => "bare hyper",
            Self::Plain => "aggregator",
            Self::Tokens => "with tokens",
            Self::TokensOverTls => "with tokens over TLS",
        }
    }
}

/// Returns the requests answered per second of the server thread's CPU time.
fn measure(subject: Subject) -> f64 {
    let over = Arc::new(AtomicBool::new(false));
    let (address_tx, address_rx) = mpsc::channel();
    let ends = Arc::clone(&over);
    let authority = Arc::new(Certified::new("bench"));
    let issuer = Arc::clone(&authority);
    let server = thread::spawn(move || {
        cpu::pin(0);
        match subject {
            Subject::BareHyper => bare_hyper(address_tx, ends),
            _ => aggregator(subject, &issuer, address_tx, ends),
        }
    });
    let address = address_rx.recv().unwrap();
    let answered = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&answered);
    let client = thread::spawn(move || {
        cpu::pin(1);
        drive(subject, &authority, address, &count);
    });
    client.join().unwrap();
    over.store(true, Ordering::Relaxed);
    let nanoseconds = server.join().unwrap();
    answered.load(Ordering::Relaxed) as f64 / (nanoseconds as f64 / 1e9)
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

/// Runs the aggregator on one thread and returns the CPU time that it used.
fn aggregator(
    subject: Subject,
    authority: &Certified,
    address_tx: mpsc::Sender<SocketAddr>,
    over: Arc<AtomicBool>,
) -> u64 {
    runtime().block_on(async {
        let target = TargetLatency::new(Latency::from_nanos(7_000_000)).unwrap();
        let policy = Policy::new(Bounds::new(1, 10_000).unwrap(), target);
        let pods = CONNECTIONS * PODS_A_CONNECTION;
        let mut push_security = PushSecurity::default();
        if subject != Subject::Plain {
            push_security.reviewer = Some(Arc::new(AcceptAllTokens));
        }
        if subject == Subject::TokensOverTls {
            let certificate = ServerCertificate::default();
            authority.certify(&certificate, "127.0.0.1");
            push_security.certificate = Some(certificate);
        }
        let mut cluster =
            FakeCluster::start_with_security((Ipv4Addr::LOCALHOST, 0).into(), push_security).await;
        cluster.apply(policy, pods as u32).await;
        for pod in 0..pods {
            cluster.add_pod(&format!("torchserve-{pod}")).await;
        }
        address_tx.send(cluster.push).unwrap();
        let before = cpu::of_this_thread();
        wait(&over).await;
        cpu::of_this_thread() - before
    })
}

/// Runs a hyper server that reads the body and answers `{}`.
fn bare_hyper(address_tx: mpsc::Sender<SocketAddr>, over: Arc<AtomicBool>) -> u64 {
    runtime().block_on(async {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        address_tx.send(listener.local_addr().unwrap()).unwrap();
        let before = cpu::of_this_thread();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                stream.set_nodelay(true).unwrap();
                let service = service_fn(|request: Request<Incoming>| async {
                    request.into_body().collect().await.unwrap();
                    Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(b"{}"))))
                });
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        wait(&over).await;
        cpu::of_this_thread() - before
    })
}

async fn wait(over: &AtomicBool) {
    while !over.load(Ordering::Relaxed) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Pushes once over each connection, and reads every answer.
fn drive(subject: Subject, authority: &Certified, address: SocketAddr, answered: &Arc<AtomicU64>) {
    let over = Arc::new(AtomicBool::new(false));
    let tokens = !matches!(subject, Subject::BareHyper | Subject::Plain);
    let ca = std::env::temp_dir().join(format!("pushscale-bench-{}.crt", std::process::id()));
    std::fs::write(&ca, authority.pem()).unwrap();
    let believed = (subject == Subject::TokensOverTls).then(|| CaBundle::from_file(ca.clone()));
    runtime().block_on(async {
        let mut tasks = Vec::new();
        for connection in 0..CONNECTIONS {
            let over = Arc::clone(&over);
            let answered = Arc::clone(answered);
            let believed = believed.clone();
            tasks.push(tokio::spawn(async move {
                let mut requests: Vec<Vec<u8>> = (0..PODS_A_CONNECTION)
                    .map(|pod| format!("torchserve-{}", connection * PODS_A_CONNECTION + pod))
                    .map(|pod| match tokens {
                        true => request(&pod, 1),
                        false => request_without_token(&pod),
                    })
                    .collect();
                let stream = TcpStream::connect(address).await.unwrap();
                stream.set_nodelay(true).unwrap();
                let mut stream: Either<TcpStream, Box<ClientStream>> = match believed {
                    Some(authority) => {
                        let opened = authority.open("127.0.0.1", stream).await.unwrap();
                        Either::Right(Box::new(opened))
                    }
                    None => Either::Left(stream),
                };
                let mut answer = [0; 1024];
                let mut turn = 0;
                while !over.load(Ordering::Relaxed) {
                    let request = &mut requests[turn % PODS_A_CONNECTION];
                    number(request, turn / PODS_A_CONNECTION + 1);
                    stream.write_all(request).await.unwrap();
                    // Both servers answer in one TCP segment.
                    let read = stream.read(&mut answer).await.unwrap();
                    let text = &answer[..read];
                    assert!(
                        text.starts_with(b"HTTP/1.1 200") || text.starts_with(b"HTTP/1.1 429"),
                        "{}",
                        String::from_utf8_lossy(text)
                    );
                    answered.fetch_add(1, Ordering::Relaxed);
                    turn += 1;
                }
            }));
        }
        // The driver never sleeps: otherwise the slower server, whose driver sometimes has nothing to do, would also
        // pay for waking it, and the faster one would not.
        let began = Instant::now();
        while began.elapsed() < ROUND {
            tokio::task::yield_now().await;
        }
        over.store(true, Ordering::Relaxed);
        for task in tasks {
            task.await.unwrap();
        }
    });
    std::fs::remove_file(ca).unwrap();
}
