//! The load generator against minimal servers.

#![cfg(test)]

mod support;

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use pushscale_testkit::load::{
    Arrivals, Connections, LoadError, LoadOptions, Outcome, RunningLoad, Step, Targets,
};
use support::{TIMEOUT, eventually, get};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::timeout;

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: keep-alive\r\n\r\n{}";
const BUSY: &[u8] = b"HTTP/1.1 503 Busy\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

/// A server that handles every connection in the same way.
struct Server {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
}

impl Server {
    async fn new<F>(treat: impl Fn(TcpStream) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&connections);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(treat(stream));
            }
        });
        Self {
            address,
            connections,
        }
    }

    /// Responds to every read, which on loopback is a whole request.
    async fn responding(response: &'static [u8]) -> Self {
        Self::new(move |mut stream| async move {
            let mut buffer = [0; 1024];
            while stream.read(&mut buffer).await.is_ok_and(|n| n > 0) {
                if stream.write_all(response).await.is_err() {
                    break;
                }
            }
        })
        .await
    }

    async fn silent() -> Self {
        Self::new(|stream| async move {
            tokio::time::sleep(Duration::from_secs(3600)).await;
            drop(stream);
        })
        .await
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }
}

fn steps(list: &[(f64, f64)]) -> Vec<Step> {
    let step = |&(rate, seconds): &(f64, f64)| Step { rate, seconds };
    list.iter().map(step).collect()
}

fn to(server: &Server, list: &[(f64, f64)]) -> LoadOptions {
    LoadOptions::to(server.address, steps(list))
}

async fn outcomes(options: LoadOptions) -> Vec<Outcome> {
    let load = RunningLoad::start(options).unwrap();
    let report = timeout(TIMEOUT, load.finish()).await.unwrap();
    report.samples.iter().map(|s| s.outcome).collect()
}

#[tokio::test]
async fn requests_are_sent_on_time_without_any_response() {
    let server = Server::silent().await;
    let mut options = to(&server, &[(50.0, 1.0)]);
    options.timeout = Duration::from_secs(5);
    let load = RunningLoad::start(options).unwrap();
    eventually("all have left", || async { load.counts().sent == 50 }).await;
    // The first outcome comes four seconds later.
    assert_eq!(load.counts().in_flight, 50);
    assert!(load.samples_since(0).is_empty());
    let report = timeout(TIMEOUT, load.finish()).await.unwrap();
    assert!(report.samples.iter().all(|s| s.outcome == Outcome::Timeout));
    for (n, sample) in report.samples.iter().enumerate() {
        assert!(sample.start_s >= n as f64 / 50.0, "{n}: {}", sample.start_s);
        assert!(sample.latency >= Duration::from_secs(5));
    }
    assert_eq!(report.lateness.n, 50);
}

#[tokio::test]
async fn every_outcome_has_a_name() {
    let ok = Server::responding(OK).await;
    let all = outcomes(to(&ok, &[(100.0, 0.1)])).await;
    assert_eq!(all, [Outcome::Status(200); 10]);

    let busy = Server::responding(BUSY).await;
    let all = outcomes(to(&busy, &[(100.0, 0.03)])).await;
    assert_eq!(all, [Outcome::Status(503); 3]);

    let resetting = Server::new(|stream| async move {
        stream.readable().await.unwrap();
        stream.set_zero_linger().unwrap();
    })
    .await;
    let all = outcomes(to(&resetting, &[(100.0, 0.03)])).await;
    assert_eq!(all, [Outcome::Reset; 3]);

    let half = Server::new(|mut stream| async move {
        assert!(stream.read(&mut [0; 1024]).await.unwrap() > 0);
        stream.write_all(&OK[..OK.len() - 1]).await.unwrap();
    })
    .await;
    let all = outcomes(to(&half, &[(100.0, 0.03)])).await;
    assert_eq!(all, [Outcome::Reset; 3]);

    let odd = Server::responding(b"SSH-2.0-OpenSSH\r\n\r\n").await;
    let all = outcomes(to(&odd, &[(100.0, 0.01)])).await;
    assert_eq!(all, [Outcome::Other]);

    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = closed.local_addr().unwrap();
    drop(closed);
    let all = outcomes(LoadOptions::to(address, steps(&[(100.0, 0.03)]))).await;
    assert_eq!(all, [Outcome::Refused; 3]);
}

#[tokio::test]
async fn each_request_has_its_own_connection_unless_connections_are_reused() {
    let server = Server::responding(OK).await;
    outcomes(to(&server, &[(50.0, 0.4)])).await;
    assert_eq!(server.connections(), 20);

    let server = Server::responding(OK).await;
    let mut options = to(&server, &[(50.0, 3600.0)]);
    options.connections = Connections::KeepAlive;
    let load = RunningLoad::start(options).unwrap();
    eventually("a connection is used twice", || async {
        load.samples_since(0).len() > server.connections()
    })
    .await;
    load.stopper().stop();
    let report = timeout(TIMEOUT, load.finish()).await.unwrap();
    let mut samples = report.samples.iter();
    assert!(samples.all(|s| s.outcome == Outcome::Status(200)));

    // Idle connections that the server has closed are not reused.
    let server = Server::new(|mut stream| async move {
        assert!(stream.read(&mut [0; 1024]).await.unwrap() > 0);
        stream.write_all(OK).await.unwrap();
    })
    .await;
    let mut options = to(&server, &[(10.0, 0.5)]);
    options.connections = Connections::KeepAlive;
    assert_eq!(outcomes(options).await, [Outcome::Status(200); 5]);
}

#[tokio::test]
async fn requests_beyond_the_limit_are_recorded_and_not_sent() {
    let server = Server::silent().await;
    let mut options = to(&server, &[(100.0, 0.1)]);
    options.max_in_flight = 4;
    // No request times out before all are due.
    options.timeout = Duration::from_secs(5);
    let load = RunningLoad::start(options).unwrap();
    let report = timeout(TIMEOUT, load.finish()).await.unwrap();
    let summary = report.summary();
    assert_eq!((summary.sent, summary.not_sent), (4, 6));
    assert_eq!(server.connections(), 4);
    assert_eq!(summary.by_outcome["not-sent"].n, 6);
    assert_eq!(report.bad_requests(Duration::from_secs(9)).share(), 1.0);
}

#[tokio::test]
async fn targets_can_change_during_a_load() {
    let (first, second) = (Server::responding(OK).await, Server::responding(OK).await);
    let (list, receiver) = watch::channel(vec![]);
    let mut options = to(&first, &[(50.0, 3600.0)]);
    options.targets = Targets::Changing(receiver);
    let load = RunningLoad::start(options).unwrap();
    eventually("some find no target", || async {
        load.samples_since(0).len() >= 3
    })
    .await;
    assert!(
        load.samples_since(0)
            .iter()
            .all(|s| s.outcome == Outcome::NoTarget)
    );
    list.send_replace(vec![first.address]);
    eventually("the first is reached", || async {
        first.connections() >= 3
    })
    .await;
    list.send_replace(vec![first.address, second.address]);
    eventually("both are", || async { second.connections() >= 3 }).await;
    list.send_replace(vec![second.address]);
    let five_more = async || {
        let reached = second.connections();
        eventually("the second is reached", || async {
            second.connections() >= reached + 5
        })
        .await;
    };
    // Requests whose target was chosen before the change may still connect.
    five_more().await;
    let before = count_connections(&first).await;
    five_more().await;
    assert_eq!(count_connections(&first).await, before + 1);
    load.stopper().stop();
    let report = timeout(TIMEOUT, load.finish()).await.unwrap();
    assert!(report.summary().by_outcome["200"].n >= 11);
}

#[tokio::test]
async fn steps_report_their_start_on_both_clocks() {
    let server = Server::responding(OK).await;
    let before = (std::time::Instant::now(), SystemTime::now());
    let load = RunningLoad::start(to(&server, &[(10.0, 0.5), (0.0, 0.2), (40.0, 0.5)])).unwrap();
    let second = timeout(TIMEOUT, load.step_start(2)).await.unwrap().unwrap();
    assert!(second.start_s >= 0.7);
    assert!(second.monotonic - before.0 >= Duration::from_millis(700));
    // The system clock could be set at this moment, which is unlikely.
    let system = second.system.duration_since(before.1).unwrap();
    assert!(system >= Duration::from_millis(690));
    assert_eq!(load.step_start(1).await, None);
    let report = load.finish().await;
    let began: Vec<_> = report.steps.iter().map(|s| (s.step, s.rate)).collect();
    assert_eq!(began, [(0, 10.0), (2, 40.0)]);
    assert_eq!(report.samples.len(), 25);
    assert_eq!(report.steps[1].start_s, report.samples[5].start_s);
}

#[tokio::test]
async fn poisson_arrivals_are_sent_at_random_times() {
    let server = Server::responding(OK).await;
    let mut options = to(&server, &[(100.0, 0.5)]);
    options.arrivals = Arrivals::Poisson { seed: 11 };
    let load = RunningLoad::start(options).unwrap();
    let report = timeout(TIMEOUT, load.finish()).await.unwrap();
    let count = report.samples.len();
    assert!((25..80).contains(&count), "{count}");
    assert!(report.samples.is_sorted_by(|a, b| a.start_s <= b.start_s));
}

#[tokio::test]
async fn invalid_options_are_rejected() {
    let server = Server::silent().await;
    let error = RunningLoad::start(to(&server, &[])).unwrap_err();
    assert_eq!(error, LoadError::NoStep);
    let error = RunningLoad::start(to(&server, &[(1.0, -1.0)])).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("invalid step 0: 1 requests/s for -1 s")
    );
}

#[tokio::test]
async fn a_dropped_load_sends_no_further_requests() {
    let server = Server::responding(OK).await;
    let load = RunningLoad::start(to(&server, &[(100.0, 3600.0)])).unwrap();
    eventually("it runs", || async { server.connections() >= 3 }).await;
    drop(load);
    // Another load shows how many requests would have been sent in that time.
    let other = Server::responding(OK).await;
    let load = RunningLoad::start(to(&other, &[(100.0, 3600.0)])).unwrap();
    let responded = async |count| {
        eventually("the other load continues", || async {
            load.samples_since(0).len() >= count
        })
        .await;
    };
    responded(5).await;
    let before = count_connections(&server).await;
    responded(25).await;
    assert_eq!(count_connections(&server).await, before + 1);
}

/// Returns the number of connections after one more. Connections are accepted in order, so all earlier ones count.
async fn count_connections(server: &Server) -> usize {
    assert_eq!(get(server.address, "/").await.status, 200);
    server.connections()
}
