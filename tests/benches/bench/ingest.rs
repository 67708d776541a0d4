//! Pushes a second on one core, all the way to a decision, against a bare hyper server that only reads the body.

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
use pushscale_decision::{Bounds, Latency, Policy, Target};
use pushscale_protocol::Push;
use pushscale_tests::small_world::{NAMESPACE, SmallWorld, uid};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::cpu;
use crate::spread::Spread;

const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_secs(3);
/// Keep-alive connections at a time.
const CONNECTIONS: usize = 64;
/// A pod pushes at most every 50 ms, so it takes many pods to fill a core.
const PODS_A_CONNECTION: usize = 80;

/// Prints pushes per second of one core's time.
pub(crate) fn run() {
    let body = body("torchserve-0", 1);
    println!("  a push of one model: {} bytes of JSON", body.len());
    let mut ours = Vec::new();
    let mut bare = Vec::new();
    // In turn, so that a machine that slows down slows both.
    for _ in 0..ROUNDS {
        ours.push(measure(aggregator));
        bare.push(measure(bare_hyper));
    }
    let ratios = ours.iter().zip(&bare).map(|(ours, bare)| ours / bare);
    let ratios = Spread::of(ratios.collect());
    let (ours, bare) = (Spread::of(ours), Spread::of(bare));
    println!("  aggregator {ours:.0} pushes/s a core (min / median / mean / max)");
    println!("  bare hyper {bare:.0}");
    println!("  ratio      {ratios:.2}");
}

/// Requests answered per second of the server thread's processor time.
fn measure(serve: fn(mpsc::Sender<SocketAddr>, Arc<AtomicBool>) -> u64) -> f64 {
    let over = Arc::new(AtomicBool::new(false));
    let (address, told) = mpsc::channel();
    let ends = Arc::clone(&over);
    let server = thread::spawn(move || {
        cpu::pin(0);
        serve(address, ends)
    });
    let address = told.recv().unwrap();
    let answered = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&answered);
    let client = thread::spawn(move || {
        cpu::pin(1);
        drive(address, &count);
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

/// The aggregator on one thread; gives the processor time that it took.
fn aggregator(told: mpsc::Sender<SocketAddr>, over: Arc<AtomicBool>) -> u64 {
    runtime().block_on(async {
        let target = Target::new(Latency::from_nanos(7_000_000)).unwrap();
        let policy = Policy::new(Bounds::new(1, 10_000).unwrap(), target);
        let pods = CONNECTIONS * PODS_A_CONNECTION;
        let world = SmallWorld::start(policy, pods as u32).await;
        for pod in 0..pods {
            world.add_pod(&format!("torchserve-{pod}")).await;
        }
        told.send(world.push).unwrap();
        let before = cpu::of_this_thread();
        wait(&over).await;
        cpu::of_this_thread() - before
    })
}

/// A hyper server that reads the body and says `{}`.
fn bare_hyper(told: mpsc::Sender<SocketAddr>, over: Arc<AtomicBool>) -> u64 {
    runtime().block_on(async {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        told.send(listener.local_addr().unwrap()).unwrap();
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

/// Pushes over all connections for one round, and reads every answer.
fn drive(address: SocketAddr, answered: &Arc<AtomicU64>) {
    let over = Arc::new(AtomicBool::new(false));
    runtime().block_on(async {
        let mut tasks = Vec::new();
        for connection in 0..CONNECTIONS {
            let over = Arc::clone(&over);
            let answered = Arc::clone(answered);
            tasks.push(tokio::spawn(async move {
                let mut requests: Vec<Vec<u8>> = (0..PODS_A_CONNECTION)
                    .map(|pod| request(connection * PODS_A_CONNECTION + pod))
                    .collect();
                let mut stream = TcpStream::connect(address).await.unwrap();
                stream.set_nodelay(true).unwrap();
                let mut answer = [0; 1024];
                let mut turn = 0;
                while !over.load(Ordering::Relaxed) {
                    let request = &mut requests[turn % PODS_A_CONNECTION];
                    number(request, turn / PODS_A_CONNECTION + 1);
                    stream.write_all(request).await.unwrap();
                    // Both servers answer in one segment.
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
        // It never sleeps: else the slower server, whose driver has nothing to do now and then, would also pay for
        // waking it, and the faster one would not.
        let began = Instant::now();
        while began.elapsed() < ROUND {
            tokio::task::yield_now().await;
        }
        over.store(true, Ordering::Relaxed);
        for task in tasks {
            task.await.unwrap();
        }
    });
}

/// As a sidecar sends it.
fn request(pod: usize) -> Vec<u8> {
    let body = body(&format!("torchserve-{pod}"), 1_000_000_000);
    let mut request = format!(
        "POST /v1/readings HTTP/1.1\r\ncontent-type: application/json\r\nhost: 127.0.0.1:8490\r\n\
         content-length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    request.extend_from_slice(&body);
    request
}

/// Writes the sequence number in place: the driver must not cost more than the server.
fn number(request: &mut [u8], sequence: usize) {
    let mark = b"\"sequence\":";
    let at = memchr::memmem::find(request, mark).unwrap() + mark.len();
    let digits = format!("{}", 1_000_000_000 + sequence);
    request[at..at + digits.len()].copy_from_slice(digits.as_bytes());
}

fn body(pod: &str, sequence: u64) -> Vec<u8> {
    let text = include_bytes!("../../../crates/protocol/testdata/overloaded-v1.json");
    let mut push = Push::parse(text).unwrap();
    push.pod.namespace = NAMESPACE.into();
    push.pod.name = pod.to_owned().into();
    push.pod.uid = uid(pod).as_str().to_owned().into();
    push.sequence = sequence;
    serde_json::to_vec(&push).unwrap()
}
