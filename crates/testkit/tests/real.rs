//! The real TorchServe: started, loaded, stopped, and compared with the emulated one.

#![cfg(test)]

mod support;

use std::time::Duration;

use pushscale_testkit::emulated::{self, EmulatedServer};
use pushscale_testkit::load::{LoadOptions, LoadReport, RunningLoad, Step};
use pushscale_testkit::local_torchserve::{LocalTorchServe, LocalTorchServeError, ServerOptions};
use pushscale_testkit::{Addresses, MetricsMode, cache};
use rustix::process::{Pid, Signal, kill_process};
use support::{TIMEOUT, describe, get, sum, waiting};
use tokio::sync::{Mutex, MutexGuard};
use tokio::time::{Instant, sleep, sleep_until, timeout};

const INSTALL: Duration = Duration::from_secs(600);
const START: Duration = Duration::from_secs(120);

/// Serializes the tests: the start of Java keeps two cores busy for seconds.
static ALONE: Mutex<()> = Mutex::const_new(());

/// Returns `None`, with a message, if TorchServe cannot be installed, except under `CI=true`.
async fn local_torchserve() -> Option<(LocalTorchServe, MutexGuard<'static, ()>)> {
    let alone = ALONE.lock().await;
    let cache = cache::directory();
    let install = LocalTorchServe::install(&cache, |doing| println!("{doing}"));
    match timeout(INSTALL, install).await.expect("installed in time") {
        Ok(torchserve) => Some((torchserve, alone)),
        Err(error) if std::env::var_os("CI").is_some_and(|ci| ci == "true") => {
            panic!("{error}")
        }
        Err(error) => {
            eprintln!("not run: {error}");
            None
        }
    }
}

fn load(at: Addresses, rate: f64, seconds: f64) -> RunningLoad {
    let steps = vec![Step { rate, seconds }];
    RunningLoad::start(LoadOptions::to(at.inference, steps)).unwrap()
}

fn is_alive(pid: u64) -> bool {
    // A zombie is dead; its parent has not waited for it yet.
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"));
    stat.is_ok_and(|text| !text.contains(") Z "))
}

async fn worker_pids(at: Addresses) -> Vec<u64> {
    let models = describe(at.management, "sleepy").await;
    let workers = models[0]["workers"].as_array().unwrap();
    workers.iter().map(|w| w["pid"].as_u64().unwrap()).collect()
}

async fn metrics(at: Addresses) -> String {
    get(at.metrics, "/metrics").await.body
}

#[tokio::test]
async fn two_servers_run_side_by_side_and_leave_nothing_behind() {
    let Some((torchserve, _alone)) = local_torchserve().await else {
        return;
    };
    let second = ServerOptions {
        workers: 2,
        service: Duration::from_millis(50),
        ..ServerOptions::default()
    };
    let (first, second) = timeout(START, async {
        tokio::join!(
            torchserve.start(ServerOptions::default()),
            torchserve.start(second)
        )
    })
    .await
    .unwrap();
    let servers = [first.unwrap(), second.unwrap()];

    let mut pids = Vec::new();
    for (server, workers) in servers.iter().zip([1, 2]) {
        let at = server.addresses();
        let report = load(at, 10.0, 1.0).finish().await;
        assert_eq!(report.summary().by_outcome["200"].n, 10);
        let page = metrics(at).await;
        assert_eq!(sum(&page, "ts_inference_requests_total"), Some(10.0));
        let inference = sum(&page, "ts_inference_latency_microseconds").unwrap();
        let queue = sum(&page, "ts_queue_latency_microseconds").unwrap();
        assert!(inference > queue && queue > 0.0, "{inference} {queue}");
        let of_workers = worker_pids(at).await;
        assert_eq!(of_workers.len(), workers);
        pids.extend(of_workers);
        pids.push(u64::from(server.pid().unwrap()));
    }
    assert!(pids.iter().all(|pid| is_alive(*pid)));

    let [first, second] = servers;
    let stopped = timeout(START, async { tokio::join!(first.stop(), second.stop()) });
    let (first, second) = stopped.await.unwrap();
    first.unwrap();
    second.unwrap();
    let left: Vec<_> = pids.iter().filter(|pid| is_alive(**pid)).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test]
async fn a_launched_server_becomes_ready_and_a_dropped_one_stops() {
    let Some((torchserve, _alone)) = local_torchserve().await else {
        return;
    };
    let options = ServerOptions {
        metrics_mode: MetricsMode::Log,
        load: Duration::from_millis(500),
        ..ServerOptions::default()
    };
    let mut server = torchserve.launch(options).unwrap();
    let at = server.addresses();
    // Its ports are reserved from the beginning, and closed.
    let refused = tokio::net::TcpStream::connect(at.metrics).await;
    assert!(refused.is_err());
    assert_eq!(server.pid(), None);
    timeout(START, server.ready()).await.unwrap().unwrap();
    assert!(!server.has_ended());
    assert_eq!(metrics(at).await, "");

    let pid = u64::from(server.pid().unwrap());
    drop(server);
    support::eventually("java has ended", || async { !is_alive(pid) }).await;
}

#[tokio::test]
async fn neither_java_nor_its_parent_outlives_the_other() {
    let Some((torchserve, _alone)) = local_torchserve().await else {
        return;
    };
    let start = || async {
        let server = timeout(START, torchserve.start(ServerOptions::default())).await;
        server.unwrap().unwrap()
    };
    let mut server = start().await;
    kill(server.pid().unwrap());
    let began = Instant::now();
    while !server.has_ended() {
        assert!(
            began.elapsed() < TIMEOUT,
            "start.py did not notice the end of java"
        );
        sleep(Duration::from_millis(20)).await;
    }

    let server = start().await;
    let java = u64::from(server.pid().unwrap());
    let workers = worker_pids(server.addresses()).await;
    kill(parent(java));
    support::eventually("java and its workers have ended", || async {
        !is_alive(java) && !workers.iter().any(|pid| is_alive(*pid))
    })
    .await;
    server.stop().await.unwrap();
}

fn kill(pid: u32) {
    let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    kill_process(pid, Signal::KILL).unwrap();
}

fn parent(pid: u64) -> u32 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|l| l.strip_prefix("PPid:"));
    line.unwrap().trim().parse().unwrap()
}

#[tokio::test]
async fn a_server_that_cannot_start_reports_the_reason() {
    let Some((torchserve, _alone)) = local_torchserve().await else {
        return;
    };
    let options = ServerOptions {
        extra: vec!["inference_address=nonsense".to_owned()],
        ..ServerOptions::default()
    };
    let error = timeout(START, torchserve.start(options)).await.unwrap();
    let error = error.unwrap_err();
    assert!(
        matches!(error, LocalTorchServeError::NotReady { .. }),
        "{error}"
    );
    assert!(error.to_string().contains("nonsense"), "{error}");
}

/// What a server showed under the small load. Times are in seconds.
#[derive(Debug)]
struct Observed {
    /// `pendingRequests` with the time since the start of the overload, about twice per second until it is 0.
    waiting: Vec<(f64, u64)>,
    requests: f64,
    light: Latencies,
    overload: Latencies,
    /// Without the scrapes and descriptions in between.
    predictions_in_2xx: f64,
    last_queue_time: f64,
}

/// Sums over the requests of one load.
#[derive(Clone, Copy, Debug)]
struct Latencies {
    queue: f64,
    inference: f64,
}

impl Latencies {
    /// Reads the counters, which start with the server.
    fn read(page: &str) -> Self {
        let seconds = |family| sum(page, family).unwrap_or(0.0) / 1e6;
        Self {
            queue: seconds("ts_queue_latency_microseconds"),
            inference: seconds("ts_inference_latency_microseconds"),
        }
    }

    fn minus(self, earlier: Self) -> Self {
        Self {
            queue: self.queue - earlier.queue,
            inference: self.inference - earlier.inference,
        }
    }

    /// Time in the worker, including the communication with it.
    fn service(self) -> f64 {
        self.inference - self.queue
    }
}

/// The overload: 20/s for 4 s.
const RATE: f64 = 20.0;
const SECONDS: f64 = 4.0;

/// 2/s for 3 s, then the overload, then until the queue is empty.
async fn observe(at: Addresses) -> Observed {
    let before = metrics(at).await;
    // That scrape itself counts in the next page.
    let mut gets = 1.0;
    let all_good = |report: LoadReport, n: u64| {
        let summary = report.summary();
        assert_eq!(summary.by_outcome["200"].n, n, "{summary:?}");
    };
    all_good(load(at, 2.0, 3.0).finish().await, 6);
    let light = Latencies::read(&metrics(at).await);
    gets += 1.0;

    let overload = load(at, RATE, SECONDS);
    let began = Instant::from_std(overload.began());
    let mut poll_at = began;
    let mut series = Vec::new();
    loop {
        poll_at += Duration::from_millis(500);
        sleep_until(poll_at).await;
        let waiting = waiting(at.management, "sleepy").await;
        let time = began.elapsed().as_secs_f64();
        series.push((time, waiting));
        gets += 1.0;
        if time > SECONDS && waiting == 0 {
            break;
        }
        assert!(
            began.elapsed() < START,
            "the queue does not empty: {series:?}"
        );
    }
    all_good(timeout(START, overload.finish()).await.unwrap(), 80);
    // The client gets its response a moment before the counters are updated.
    let mut after = metrics(at).await;
    while sum(&after, "ts_inference_requests_total") != Some(86.0) {
        assert!(
            began.elapsed() < START,
            "not all requests are counted: {after}"
        );
        sleep(Duration::from_millis(20)).await;
        gets += 1.0;
        after = metrics(at).await;
    }
    let successes = |page: &str| sum(page, "Requests2XX").unwrap_or(0.0);
    Observed {
        waiting: series,
        requests: sum(&after, "ts_inference_requests_total").unwrap(),
        light,
        overload: Latencies::read(&after).minus(light),
        predictions_in_2xx: successes(&after) - successes(&before) - gets,
        last_queue_time: sum(&after, "QueueTime").unwrap() / 1e3,
    }
}

impl Observed {
    /// Checks the counters against each other, without regard to how fast the machine is.
    fn check(&self, server: &str) {
        assert_eq!(self.requests, 86.0, "{server}");
        assert_eq!(self.predictions_in_2xx, 86.0, "{server}");
        // The handler sleeps for 100 ms.
        assert!(self.light.service() > 6.0 * 0.1, "{server}: {self:?}");
        assert!(self.overload.service() > 80.0 * 0.1, "{server}: {self:?}");

        // Little's law: the waits add up to the time integral of the number of waiting requests.
        let points = [(0.0, 0)].into_iter().chain(self.waiting.iter().copied());
        let area: f64 = points
            .zip(&self.waiting)
            .map(|((from, a), &(to, b))| (to - from) * (a + b) as f64 / 2.0)
            .sum();
        let off = self.overload.queue / area - 1.0;
        assert!(
            off.abs() < 0.1,
            "{server}: waits {}, area {area}",
            self.overload.queue
        );

        // One worker that is never idle completes the requests in sequence, so the last one has waited for the others.
        let last_arrival = SECONDS - 1.0 / RATE;
        let nonzero = self.waiting.iter().filter(|(_, waiting)| *waiting > 0);
        let nonzero = nonzero.map(|(time, _)| *time).fold(0.0, f64::max);
        let (zero, _) = *self.waiting.last().unwrap();
        let shortest = nonzero - last_arrival - 1.0;
        let longest = zero - last_arrival + 1.0;
        assert!(
            (shortest..longest).contains(&self.last_queue_time),
            "{server}: the last request waited {} s, not {shortest} to {longest} s",
            self.last_queue_time
        );
    }
}

#[tokio::test]
async fn the_emulated_server_queues_and_counts_like_the_real_one() {
    let Some((torchserve, _alone)) = local_torchserve().await else {
        return;
    };
    let started = timeout(START, torchserve.start(ServerOptions::default())).await;
    let server = started.unwrap().unwrap();
    let real = observe(server.addresses()).await;
    server.stop().await.unwrap();
    println!("real     {real:?}");
    real.check("real");

    let server = EmulatedServer::start(emulated::ServerOptions::default()).unwrap();
    timeout(TIMEOUT, server.ready()).await.unwrap();
    let emulated = observe(server.addresses()).await;
    println!("emulated {emulated:?}");
    emulated.check("emulated");
    // At 2 requests per second no request waits for another one.
    assert!(
        emulated.light.queue < emulated.light.service(),
        "{emulated:?}"
    );
}
