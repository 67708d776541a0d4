//! Measures the status page with 1,000 scalers: the time to the first byte, what recording costs the control loop, and
//! the turns of the loop with and without readers.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use pushscale_aggregator::recorded_page::{RecordedPage, RecordedScaler};
use pushscale_daemon::shutdown::Shutdown;
use pushscale_decision::{Bounds, Decision, Latency, MeasuredLoad, Policy, TargetLatency};
use pushscale_tests::fake_cluster::{FakeCluster, NAMESPACE};
use pushscale_tests::fake_pod::{FakePod, Load};
use pushscale_tests::{http, simulated_hour};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;

use crate::spread::Spread;

const SCALERS: usize = 1000;

/// Requests for each page.
const REQUESTS: usize = 30;

/// Rounds of one decision per scaler.
const ROUNDS: usize = 200;

/// How long the loop is measured.
const LOOP_TIME: Duration = Duration::from_secs(10);

/// Clients that push.
const PUSHERS: usize = 4;

/// Readers of the overview: streams, of which each address may have eight connections.
const STREAMS: u8 = 14;

pub(crate) fn run() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let decisions = simulated_hour::decisions(|second| 100.0 + second % 600.0 / 2.0, 1);
    runtime.block_on(pages(&decisions));
    runtime.block_on(sending(&decisions));
    runtime.block_on(turns());
}

/// The time to the first byte of pages with a complete hour.
async fn pages(decisions: &[Arc<Decision>]) {
    let page = RecordedPage::start();
    let now = jiff::Timestamp::now();
    for number in 0..SCALERS {
        let scaler = RecordedScaler::new("models", &format!("scaler-{number}"));
        for (second, decision) in (0..).zip(decisions).step_by(10) {
            let at = now - jiff::SignedDuration::from_secs(3600 - second);
            page.record(&scaler, at, decision);
        }
    }
    let shutdown = Shutdown::new();
    let listen = (Ipv4Addr::LOCALHOST, 0).into();
    let address = page.serve(listen, shutdown.clone()).await.unwrap();
    println!(
        "  {SCALERS} scalers with an hour each; milliseconds to the first byte: min / median / mean / max"
    );
    for (name, path, pause) in [
        // The rows are rendered at most once per second.
        ("overview, rendered", "/", Duration::from_millis(1100)),
        ("overview, shared", "/", Duration::ZERO),
        ("scaler", "/scalers/models/scaler-500", Duration::ZERO),
    ] {
        let (mut first, mut bytes) = (Vec::new(), 0);
        for _ in 0..REQUESTS {
            tokio::time::sleep(pause).await;
            let (took, length) = request(address, path).await;
            first.push(took.as_secs_f64() * 1e3);
            bytes = length;
        }
        println!(
            "  {name:<20} {:.1} ({} kB)",
            Spread::of(first),
            bytes / 1000
        );
    }
    shutdown.cancel();
}

/// Returns the time to the first byte and the bytes of the response.
async fn request(address: SocketAddr, path: &str) -> (Duration, usize) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: bench\r\nconnection: close\r\n\r\n");
    let started_at = Instant::now();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut bytes = vec![stream.read_u8().await.unwrap()];
    let first = started_at.elapsed();
    stream.read_to_end(&mut bytes).await.unwrap();
    assert!(bytes.starts_with(b"HTTP/1.1 200 "), "{path}");
    (first, bytes.len())
}

/// What the control loop pays for recording a decision.
async fn sending(decisions: &[Arc<Decision>]) {
    let mut page = RecordedPage::start();
    let names = (0..SCALERS).map(|number| format!("scaler-{number}"));
    let scalers: Vec<_> = names
        .map(|name| RecordedScaler::new("models", &name))
        .collect();
    let (mut each, mut loads) = (Vec::new(), Vec::new());
    let load = MeasuredLoad {
        rate: Some(120.0),
        service: Some(0.1),
    };
    for round in 0..ROUNDS {
        let decision = &decisions[round * 17 % decisions.len()];
        let started_at = Instant::now();
        for scaler in &scalers {
            page.send(scaler, decision, true);
        }
        each.push(started_at.elapsed().as_secs_f64() * 1e9 / SCALERS as f64);
        let (number, start) = (round as u64, jiff::Timestamp::now());
        let started_at = Instant::now();
        for scaler in &scalers {
            page.send_load(scaler, number, start, load);
        }
        loads.push(started_at.elapsed().as_secs_f64() * 1e9 / SCALERS as f64);
        // A burst is followed by time to record it.
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    println!(
        "  recording a decision: {:.0} ns of the control loop (min / median / mean / max of {ROUNDS} rounds)",
        Spread::of(each)
    );
    println!(
        "  recording the load, every ten seconds: {:.0} ns of the control loop",
        Spread::of(loads)
    );
}

/// The turns of the control loop while pods push, without and with readers.
async fn turns() {
    let target = TargetLatency::new(Latency::from_nanos(50_000_000)).unwrap();
    let policy = Policy::new(Bounds::new(1, 10).unwrap(), target);
    let cluster = FakeCluster::start_without_list((Ipv4Addr::LOCALHOST, 0).into()).await;
    let names: Vec<_> = (0..SCALERS)
        .map(|number| format!("scaler-{number}"))
        .collect();
    cluster.apply_many(&names, &policy, 1).await;
    let mut pods = Vec::new();
    for name in &names {
        cluster.add_pod_to(name, &format!("{name}-pod")).await;
        let uid = format!("{name}-pod-uid");
        pods.push(FakePod::new(NAMESPACE, &format!("{name}-pod"), &uid));
    }
    let stop = Arc::new(AtomicBool::new(false));
    let mut pushers = JoinSet::new();
    for share in pods.chunks(SCALERS / PUSHERS) {
        let (mut share, stop, push) = (share.to_vec(), Arc::clone(&stop), cluster.push);
        pushers.spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                for pod in &mut share {
                    pod.push(push, Load::Rate(5.0)).await;
                }
            }
        });
    }
    // Until all windows have begun.
    tokio::time::sleep(LOOP_TIME / 2).await;
    print_turns("no reader", cluster.admin).await;
    let mut readers = JoinSet::new();
    for number in 0..STREAMS {
        let admin = cluster.admin;
        readers.spawn(read_stream(admin, 2 + number / 7));
    }
    let (admin, stopped) = (cluster.admin, Arc::clone(&stop));
    let pages = tokio::spawn(async move {
        while !stopped.load(Ordering::Relaxed) {
            request(admin, "/").await;
        }
    });
    print_turns("14 streams, and loads of the overview", cluster.admin).await;
    stop.store(true, Ordering::Relaxed);
    pages.await.unwrap();
    readers.shutdown().await;
    while pushers.join_next().await.is_some() {}
    let metrics = http::get(cluster.admin, "/metrics").await.body;
    let dropped: f64 = http::sum(
        &metrics,
        "pushscale_aggregator_dropped_history_records_total",
    );
    println!("  decisions missing in the history: {dropped}");
    cluster.end().await;
}

/// Reads a stream of the overview from this loopback address.
async fn read_stream(admin: SocketAddr, host: u8) {
    let socket = TcpSocket::new_v4().unwrap();
    socket
        .bind(SocketAddr::from(([127, 0, 0, host], 0)))
        .unwrap();
    let mut stream = socket.connect(admin).await.unwrap();
    let request = b"GET /events HTTP/1.1\r\nhost: bench\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut buffer = vec![0; 64 << 10];
    while stream.read(&mut buffer).await.unwrap() > 0 {}
}

async fn print_turns(what: &str, admin: SocketAddr) {
    let before = http::get(admin, "/metrics").await.body;
    tokio::time::sleep(LOOP_TIME).await;
    let after = http::get(admin, "/metrics").await.body;
    let delta = |name: &str| http::sum::<f64>(&after, name) - http::sum::<f64>(&before, name);
    let turns = delta("pushscale_aggregator_turn_seconds_count");
    let longer = |bound: &str| {
        let bucket = format!("pushscale_aggregator_turn_seconds_bucket{{le=\"{bound}\"}}");
        turns - delta(&bucket)
    };
    println!(
        "  {what}: {:.0} decisions/s, {:.0} turns/s of {:.0} µs in the mean; over 5 ms: {:.0}, over 50 ms: {:.0}",
        delta("pushscale_aggregator_decisions_total") / LOOP_TIME.as_secs_f64(),
        turns / LOOP_TIME.as_secs_f64(),
        delta("pushscale_aggregator_turn_seconds_sum") * 1e6 / turns,
        longer("0.005"),
        longer("0.05"),
    );
}
