//! Creates and deletes PushScalers, pods, tokens, models and connections, and looks for memory that is not freed.
//!
//! The caches have bounds: 10,000 deleted pods, and tokens until they expire. Memory is measured once these are full
//! and the allocator has settled: over 106,000 pods memory grew by 1.3 MB in the first 42,000 and by 0.2 MB in the
//! others. Then it must not grow by more than the noise, which is the spread of the samples around their line.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use pushscale_daemon::tls::CaBundle;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpSocket;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::Fleet;
use super::server::{Server, pod_of};
use crate::environment::number;
use crate::pushes::{FIRST, push, request, token};
use crate::spread::Spread;

/// Pods of a PushScaler, which all push over connections of their own.
const PODS: usize = 50;

/// PushScalers that exist at the same time.
const SCALERS: usize = 12;

/// PushScalers whose pods push at the same time.
const CONCURRENT_SCALERS: usize = 4;

/// Pushes of a pod. Each has other models.
const PUSHES: u64 = 4;

/// Interval of the pushes of a pod, which may push every 50 ms.
const PUSH_INTERVAL: Duration = Duration::from_millis(60);

/// How long a token is valid, in seconds: as many are cached as pods start in this time.
const TOKEN_SECONDS: u64 = 20;

/// The pods before the measurement, of which 10,000 fill the memory of deleted pods, for longer than a token is valid.
const WARM_UP_PODS: usize = 60_000;
const WARM_UP: Duration = Duration::from_secs(2 * TOKEN_SECONDS);

const TIMEOUT: Duration = Duration::from_secs(20);

/// Growth below this is not looked at: the allocator takes memory from the kernel in pieces.
const GRANULARITY_KB: f64 = 512.0;

/// Churns for `MINUTES` (default: 5) after the warm-up. Prints a table.
///
/// # Panics
/// If memory grows, if descriptors are left, or if a push is not accepted.
pub(crate) fn run() {
    let minutes: f64 = number("MINUTES").unwrap_or(5.0);
    pushscale_daemon::open_files::raise_limit();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(soak(Duration::from_secs_f64(60.0 * minutes)));
}

async fn soak(time: Duration) {
    let empty = Fleet {
        pods: 0,
        scalers: 0,
    };
    let mut server = Server::start(empty);
    let descriptors = server.usage().descriptors;
    let (mut scalers, mut samples) = (0, Vec::new());
    let warm = Instant::now() + WARM_UP;
    while Instant::now() < warm || scalers * PODS < WARM_UP_PODS {
        scalers = replace(&mut server, scalers).await;
        samples.push(sample(&mut server, scalers));
    }
    let (start, before, warm_up) = (Instant::now(), scalers, samples.len());
    while start.elapsed() < time {
        scalers = replace(&mut server, scalers).await;
        samples.push(sample(&mut server, scalers));
    }
    let minutes = start.elapsed().as_secs_f64() / 60.0;
    for (pods, kilobytes) in samples.iter().step_by(samples.len().div_ceil(20)) {
        println!("  after {pods} pods: {:.1} MB", kilobytes / 1000.0);
    }
    let end = server.usage();
    let (slope, noise) = line(&samples[warm_up..]);
    let pods = (scalers - before) * PODS;
    let growth = slope * pods as f64;
    println!(
        "| minutes | PushScalers | pods and tokens | models | pushes | memory | growth | noise | a pod | descriptors |\n\
         | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n\
         | {minutes:.1} | {} | {pods} | {} | {} | {:.1} MB | {:+.0} kB | {noise:.0} kB | {:+.1} bytes | {descriptors} → {} |",
        scalers - before,
        pods as u64 * PUSHES,
        pods as u64 * PUSHES,
        end.resident_kb as f64 / 1000.0,
        growth,
        1000.0 * slope,
        end.descriptors,
    );
    assert!(
        growth <= GRANULARITY_KB.max(3.0 * noise),
        "memory grows by {growth:.0} kB"
    );
    assert!(
        end.descriptors <= descriptors + PODS,
        "{} descriptors, {descriptors} at the start",
        end.descriptors
    );
}

/// Returns the pods that have come, and the resident memory in kilobytes.
fn sample(server: &mut Server, scalers: usize) -> (f64, f64) {
    ((scalers * PODS) as f64, server.usage().resident_kb as f64)
}

/// Adds PushScalers after the first `last`, runs their pods, and removes the oldest. Returns the last one.
async fn replace(server: &mut Server, last: usize) -> usize {
    let mut pods = JoinSet::new();
    for scaler in last + 1..=last + CONCURRENT_SCALERS {
        server.add(scaler, PODS);
        // An address may have only so many handshakes at a time.
        let host = Ipv4Addr::new(
            127,
            0,
            1,
            1 + u8::try_from(scaler % CONCURRENT_SCALERS).unwrap(),
        );
        for pod in 0..PODS {
            let name = pod_of(scaler, pod);
            pods.spawn(run_pod(server.address, server.ca.clone(), host, name));
        }
    }
    while let Some(ended) = timeout(TIMEOUT, pods.join_next()).await.unwrap() {
        ended.unwrap();
    }
    for scaler in last + 1..=last + CONCURRENT_SCALERS {
        if scaler > SCALERS {
            server.remove(scaler - SCALERS, PODS);
        }
    }
    last + CONCURRENT_SCALERS
}

/// Connects from `host`, pushes with one token, and closes the connection.
async fn run_pod(address: SocketAddr, ca: PathBuf, host: Ipv4Addr, pod: String) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((host, 0).into()).unwrap();
    let stream = socket.connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let ca = CaBundle::from_file(ca);
    let mut stream = ca.open("127.0.0.1", stream).await.unwrap();
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let token = token(&pod, now.unwrap().as_secs() + TOKEN_SECONDS);
    let mut answer = [0; 1024];
    for number in 1..=PUSHES {
        let mut push = push(&pod, 1.0);
        push.sequence = FIRST + number;
        for model in &mut push.models {
            model.name = format!("{}-of-{pod}-{number}", model.name).into();
        }
        let body = serde_json::to_vec(&push).unwrap();
        let request = request(&body, (number == 1).then_some(token.as_str()));
        stream.write_all(&request).await.unwrap();
        let length = stream.read(&mut answer).await.unwrap();
        let text = String::from_utf8_lossy(&answer[..length]);
        assert!(text.starts_with("HTTP/1.1 200"), "{text}");
        sleep(PUSH_INTERVAL).await;
    }
}

/// Returns the slope of the line through the samples (Theil and Sen: the median of the slopes of all pairs), and the
/// median distance of a sample from it.
fn line(samples: &[(f64, f64)]) -> (f64, f64) {
    let half = samples.len() / 2;
    assert!(half > 10, "too few samples: give it more MINUTES");
    // Each sample of the first half with its partner in the second, which is as robust and not quadratic.
    let slopes = samples[..half].iter().zip(&samples[half..]);
    let slopes = slopes.map(|(first, second)| (second.1 - first.1) / (second.0 - first.0));
    let slope = Spread::of(slopes.collect()).median();
    let heights = samples.iter().map(|(pods, memory)| memory - slope * pods);
    let height = Spread::of(heights.clone().collect()).median();
    let distances = heights.map(|one| (one - height).abs());
    (slope, Spread::of(distances.collect()).median())
}
