//! The sidecars of the benchmark: each keeps a connection and pushes at its own time, at the interval that the
//! aggregator requests.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pushscale_daemon::tls::{CaBundle, ClientStream};
use pushscale_protocol::PushResponse;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpSocket;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::Fleet;
use super::server::Server;
use crate::pushes::{Requests, number};

/// The configured scrape interval, in seconds.
const INTERVAL: f64 = 1.0;

/// How long a sidecar waits for a connection and for a response.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The sidecar's backoff: from 0.2 to 4 s, each with up to the same again at random.
const MIN_BACKOFF: Duration = Duration::from_millis(200);
const MAX_BACKOFF: Duration = Duration::from_secs(4);

/// The pushes of a time.
#[derive(Debug, Default)]
pub(super) struct Pushed {
    /// The time of each push from sending it to the response, in microseconds.
    pub(super) micros: Vec<u32>,
    /// Pushes without a 200, and failed connections.
    pub(super) failed: usize,
}

/// The server that the sidecars connect to.
#[derive(Clone, Debug)]
struct Target {
    address: SocketAddr,
    ca: PathBuf,
}

impl From<&Server> for Target {
    fn from(server: &Server) -> Self {
        Self {
            address: server.address,
            ca: server.ca.clone(),
        }
    }
}

/// Running sidecars, which end when dropped.
#[derive(Debug)]
pub(super) struct Clients {
    target: watch::Sender<Target>,
    pushed: Arc<Mutex<Pushed>>,
    /// Pods that the current server has accepted a push of.
    reported: Arc<AtomicUsize>,
    pods: usize,
    _tasks: JoinSet<()>,
}

pub(super) fn start(fleet: Fleet, server: &Server) -> Clients {
    let target = watch::Sender::new(Target::from(server));
    let (pushed, reported) = (Arc::default(), Arc::default());
    let mut tasks = JoinSet::new();
    for connection in 0..fleet.connections() {
        let pods = (connection..fleet.pods).step_by(fleet.connections());
        let sidecar = Sidecar {
            source: source(connection),
            requests: pods
                .clone()
                .map(|pod| Requests::of(&Fleet::pod(pod), INTERVAL))
                .collect(),
            pods: pods.map(Fleet::pod).collect(),
            interval: INTERVAL,
            sequence: 0,
            pushed: Arc::clone(&pushed),
            reported: Arc::clone(&reported),
        };
        tasks.spawn(sidecar.run(target.subscribe()));
    }
    Clients {
        target,
        pushed,
        reported,
        pods: fleet.pods,
        _tasks: tasks,
    }
}

/// Returns the address of a node's pod: 127.1.0.0 and up.
fn source(connection: usize) -> Ipv4Addr {
    Ipv4Addr::from_bits(0x7f01_0000 + u32::try_from(connection).unwrap())
}

impl Clients {
    pub(super) fn connect_to(&self, server: &Server) {
        self.reported.store(0, Ordering::Relaxed);
        self.target.send_replace(Target::from(server));
    }

    pub(super) async fn wait_until_all_accepted(&self) {
        while self.reported.load(Ordering::Relaxed) < self.pods {
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// Returns the pushes since the last call.
    pub(super) fn take(&self) -> Pushed {
        std::mem::take(&mut *self.pushed.lock().unwrap())
    }
}

/// The sidecars that share a connection.
struct Sidecar {
    source: Ipv4Addr,
    pods: Vec<String>,
    requests: Vec<Requests>,
    /// In seconds.
    interval: f64,
    sequence: usize,
    pushed: Arc<Mutex<Pushed>>,
    reported: Arc<AtomicUsize>,
}

impl Sidecar {
    async fn run(mut self, mut target: watch::Receiver<Target>) {
        // Sidecars start at any time.
        sleep(Duration::from_secs_f64(self.interval * fastrand::f64())).await;
        let mut backoff = MIN_BACKOFF;
        loop {
            let now = target.borrow_and_update().clone();
            let Some(stream) = self.connect(&now).await else {
                self.pushed.lock().unwrap().failed += 1;
                sleep(backoff.mul_f64(1.0 + fastrand::f64())).await;
                backoff = (2 * backoff).min(MAX_BACKOFF);
                continue;
            };
            backoff = MIN_BACKOFF;
            let pushing = self.push(stream);
            tokio::select! {
                () = pushing => {}
                _ = target.changed() => {}
            }
        }
    }

    async fn connect(&self, target: &Target) -> Option<ClientStream> {
        let connecting = async {
            let socket = TcpSocket::new_v4().ok()?;
            socket.bind((IpAddr::from(self.source), 0).into()).ok()?;
            let stream = socket.connect(target.address).await.ok()?;
            stream.set_nodelay(true).ok()?;
            let ca = CaBundle::from_file(target.ca.clone());
            ca.open("127.0.0.1", stream).await.ok()
        };
        timeout(TIMEOUT, connecting).await.ok().flatten()
    }

    /// Pushes each pod once per interval, at equal distances, until the connection ends.
    async fn push(&mut self, mut stream: ClientStream) {
        let mut unheard = self.requests.len();
        // What a connection remembers is the token of one pod.
        let token_each_time = unheard > 1;
        let mut first = true;
        let mut answer = [0; 1024];
        let mut due = Instant::now();
        loop {
            self.sequence += 1;
            let distance = Duration::from_secs_f64(self.interval / self.requests.len() as f64);
            let mut asked = None;
            for requests in &mut self.requests {
                sleep_until(due).await;
                due += distance;
                let request = match first || token_each_time {
                    true => &mut requests.first,
                    false => &mut requests.next,
                };
                first = false;
                number(request, self.sequence);
                let sent = Instant::now();
                let exchange = async {
                    stream.write_all(request).await.ok()?;
                    let length = stream.read(&mut answer).await.ok()?;
                    let answer = &answer[..length];
                    answer
                        .starts_with(b"HTTP/1.1 200")
                        .then(|| requested_interval(answer))
                };
                let accepted = timeout(TIMEOUT, exchange).await.ok().flatten();
                let mut pushed = self.pushed.lock().unwrap();
                let Some(interval) = accepted else {
                    pushed.failed += 1;
                    return;
                };
                asked = interval.or(asked);
                pushed.micros.push(sent.elapsed().as_micros() as u32);
                if unheard > 0 {
                    unheard -= 1;
                    self.reported.fetch_add(1, Ordering::Relaxed);
                }
            }
            if let Some(interval) = asked {
                self.interval = interval.max(INTERVAL);
                let pods = self.pods.iter();
                self.requests = pods.map(|pod| Requests::of(pod, self.interval)).collect();
            }
        }
    }
}

/// Returns the interval of a response, in seconds.
fn requested_interval(answer: &[u8]) -> Option<f64> {
    let begin = memchr::memmem::find(answer, b"\r\n\r\n")? + 4;
    let response: PushResponse = serde_json::from_slice(&answer[begin..]).ok()?;
    response.interval_seconds
}
