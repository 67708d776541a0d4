//! The queue and the counters of the emulated server follow the measurements of the real one.

#![cfg(test)]

mod support;

use std::time::{Duration, Instant};

use pushscale_testkit::Addresses;
use pushscale_testkit::emulated::{EmulatedServer, ModelOptions, ServerOptions};
use pushscale_testkit::load::{LoadOptions, Outcome, RunningLoad, Step};
use support::{Client, TIMEOUT, describe, eventually, get, post, sum};
use tokio::time::timeout;

const MODEL: &str = "/predictions/sleepy";

/// Longer than any test.
const HOUR: Duration = Duration::from_secs(3600);

fn serving(service_ms: u64, change: impl FnOnce(&mut ModelOptions)) -> ServerOptions {
    let mut model = ModelOptions {
        service: Duration::from_millis(service_ms),
        ..ModelOptions::default()
    };
    change(&mut model);
    ServerOptions {
        models: vec![model],
        ..ServerOptions::default()
    }
}

async fn started(options: ServerOptions) -> (EmulatedServer, Addresses) {
    let server = EmulatedServer::start(options).unwrap();
    timeout(TIMEOUT, server.ready()).await.unwrap();
    let addresses = server.addresses();
    (server, addresses)
}

fn load(at: Addresses, rate: f64, seconds: f64) -> RunningLoad {
    let steps = vec![Step { rate, seconds }];
    RunningLoad::start(LoadOptions::to(at.inference, steps)).unwrap()
}

/// Values of the metrics page.
struct Page(String);

impl Page {
    async fn of(at: Addresses) -> Self {
        Self(get(at.metrics, "/metrics").await.body)
    }

    fn value(&self, family: &str) -> f64 {
        sum(&self.0, family).unwrap_or_else(|| panic!("no sample of {family}: {}", self.0))
    }

    fn has(&self, family: &str) -> bool {
        sum(&self.0, family).is_some()
    }

    /// Seconds.
    fn queue(&self) -> f64 {
        self.value("ts_queue_latency_microseconds") / 1e6
    }

    /// Seconds.
    fn inference(&self) -> f64 {
        self.value("ts_inference_latency_microseconds") / 1e6
    }

    fn requests(&self) -> f64 {
        self.value("ts_inference_requests_total")
    }
}

#[tokio::test]
async fn light_load_causes_no_queue() {
    let (server, at) = started(serving(20, |_| {})).await;
    let mut latency = 0.0;
    // One after the other, so that no request waits for another one.
    for _ in 0..8 {
        let sent = Instant::now();
        assert_eq!(post(at.inference, MODEL, "{}").await.status, 200);
        latency += sent.elapsed().as_secs_f64();
    }
    let page = Page::of(at).await;
    assert_eq!(page.requests(), 8.0);
    assert!(page.inference() <= latency, "{latency}: {}", page.0);
    assert!(page.inference() - page.queue() >= 8.0 * 0.020);
    assert_eq!(server.waiting("sleepy"), 0);
    // A busy machine delays some requests, but not all of them.
    eventually("a request waits less than 5 ms", || async {
        assert_eq!(post(at.inference, MODEL, "{}").await.status, 200);
        Page::of(at).await.value("QueueTime") < 5.0
    })
    .await;
}

#[tokio::test]
async fn overload_grows_a_queue_and_the_last_wait_stays_on_the_page() {
    // However few requests a slow machine completes meanwhile, none is rejected.
    let (server, at) = started(serving(100, |m| m.job_queue_size = 160)).await;
    let load = load(at, 20.0, 8.0);
    eventually("all requests are sent", || async {
        load.counts().sent == 160
    })
    .await;
    // The queue is counted while it stands still: the worker keeps its request.
    server.block_workers(1);
    let elapsed = load.began().elapsed().as_secs_f64();
    let mut waiting = 0;
    eventually("every request is completed, in flight or waiting", || {
        waiting = server.waiting("sleepy");
        let sum = load.samples_since(0).len() + 1 + waiting;
        async move { sum == 160 }
    })
    .await;
    // 160 requests arrive in 8 s, in which a worker with a service time of 100 ms completes at most 80.
    assert!(
        waiting as f64 >= 159.0 - elapsed / 0.1,
        "{waiting} after {elapsed} s"
    );
    server.block_workers(0);
    let report = load.finish().await;
    let summary = report.summary();
    assert_eq!(summary.by_outcome["200"].n, 160);

    let page = Page::of(at).await;
    assert_eq!(page.requests(), 160.0);
    // One worker serves one request after the other.
    let served = page.inference() - page.queue();
    assert!((16.0..summary.seconds).contains(&served), "{served}");
    // A client's latency includes the network.
    let clients: f64 = report.samples.iter().map(|s| s.latency.as_secs_f64()).sum();
    let share = page.inference() / clients;
    assert!((0.5..=1.0).contains(&share), "{share} of {clients} s");
    // The last request waited for all requests that were before it when the worker continued.
    let last = page.value("QueueTime");
    assert!(last >= 100.0 * (waiting as f64 - 1.0), "{last}");
    assert!(last < 1000.0 * summary.seconds, "{last}");
    // Idle again: neither scrapes nor failed requests change the gauge.
    assert_eq!(
        post(at.inference, "/predictions/nope", "{}").await.status,
        404
    );
    assert_eq!(Page::of(at).await.value("QueueTime"), last);
}

#[tokio::test]
async fn a_full_queue_rejects_requests_that_are_counted() {
    let (server, at) = started(serving(100, |m| m.job_queue_size = 5)).await;
    server.block_workers(1);
    let mut first = Client::connect(at.inference).await;
    first.post(MODEL, "{}").await;
    eventually("the first request is in flight", || async {
        let arrived = sum(&Page::of(at).await.0, "ts_inference_requests_total");
        arrived == Some(1.0) && server.waiting("sleepy") == 0
    })
    .await;
    // The queue holds five.
    let load = load(at, 400.0, 0.1);
    eventually("35 are refused", || async {
        load.samples_since(0).len() == 35
    })
    .await;
    let refused = load.samples_since(0);
    assert!(refused.iter().all(|s| s.outcome == Outcome::Status(503)));
    assert_eq!(server.waiting("sleepy"), 5);
    let page = Page::of(at).await;
    assert_eq!(page.requests(), 41.0);
    assert_eq!(page.value("Requests5XX"), 35.0);
    // Rejected requests do not count in the latencies.
    assert!(!page.has("ts_queue_latency_microseconds"));
    assert!(!page.has("ts_inference_latency_microseconds"));

    server.block_workers(0);
    let by_outcome = load.finish().await.summary().by_outcome;
    assert_eq!((by_outcome["200"].n, by_outcome["503"].n), (5, 35));
    assert_eq!(first.response().await.status, 200);
    let page = Page::of(at).await;
    assert!(page.inference() - page.queue() >= 6.0 * 0.1);
}

#[tokio::test]
async fn two_workers_process_two_requests_at_once() {
    let (server, at) = started(serving(60_000, |m| m.workers = 2)).await;
    let mut clients = Vec::new();
    for _ in 0..3 {
        let mut client = Client::connect(at.inference).await;
        client.post(MODEL, "{}").await;
        clients.push(client);
    }
    eventually("all have arrived", || async {
        sum(&Page::of(at).await.0, "ts_inference_requests_total") == Some(3.0)
    })
    .await;
    eventually("two are in flight", || async {
        server.waiting("sleepy") == 1
    })
    .await;
    let models = describe(at.management, "sleepy").await;
    assert_eq!(models[0]["workers"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn requests_wait_while_the_model_loads() {
    let options = ServerOptions {
        start_delay: Duration::from_millis(300),
        ..serving(10, |m| m.load = HOUR)
    };
    let server = EmulatedServer::start(options).unwrap();
    let at = server.addresses();
    // The server's tasks run only while this one waits, so the connection is refused before.
    let refused = tokio::net::TcpStream::connect(at.metrics)
        .await
        .unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    until_open(at).await;
    let mut client = Client::connect(at.inference).await;
    client.post(MODEL, "{}").await;
    eventually("the request waits", || async {
        server.waiting("sleepy") == 1
    })
    .await;
    let models = describe(at.management, "sleepy").await;
    assert_eq!(models[0]["workers"][0]["status"], "UNLOADING");
    assert!(get(at.inference, "/ping").await.body.contains("Healthy"));
    assert!(!Page::of(at).await.has("WorkerLoadTime"));
}

#[tokio::test]
async fn the_load_time_of_the_model_counts_as_waiting() {
    let load = Duration::from_millis(700);
    let began = Instant::now();
    let server = EmulatedServer::start(serving(10, |m| m.load = load)).unwrap();
    let at = server.addresses();
    until_open(at).await;
    let sent = Instant::now();
    let mut client = Client::connect(at.inference).await;
    client.post(MODEL, "{}").await;
    eventually("the request has arrived", || async {
        Page::of(at).await.has("ts_inference_requests_total")
    })
    .await;
    // No worker is ready before this instant.
    let ready = began + load;
    let shortest = ready
        .saturating_duration_since(Instant::now())
        .as_secs_f64();
    assert_eq!(client.response().await.status, 200);
    let longest = sent.elapsed().as_secs_f64();
    let models = describe(at.management, "sleepy").await;
    assert_eq!(models[0]["workers"][0]["status"], "READY");
    let page = Page::of(at).await;
    let queue = page.queue();
    assert!(
        (shortest..longest).contains(&queue),
        "{shortest} {queue} {longest}"
    );
    assert!(page.value("WorkerLoadTime") >= 700.0);
}

async fn until_open(at: Addresses) {
    eventually("the ports open", || async {
        tokio::net::TcpStream::connect(at.metrics).await.is_ok()
    })
    .await;
}

#[tokio::test]
async fn a_batch_that_does_not_fill_counts_its_delay_as_waiting() {
    let (_server, at) = started(serving(10, |m| {
        m.batch_size = 4;
        m.max_batch_delay = Duration::from_millis(200);
    }))
    .await;
    let sent = Instant::now();
    let response = post(at.inference, MODEL, "{}").await;
    let latency = sent.elapsed().as_secs_f64();
    assert!(response.body.contains("\"batch\": 1"), "{}", response.body);
    let queue = Page::of(at).await.queue();
    assert!((0.2..latency).contains(&queue), "{queue} of {latency}");
}

#[tokio::test]
async fn a_full_batch_does_not_wait_for_its_delay() {
    let (server, at) = started(serving(10, |m| {
        m.batch_size = 4;
        m.max_batch_delay = HOUR;
    }))
    .await;
    let mut client = Client::connect(at.inference).await;
    client.post(MODEL, "{}").await;
    // In the batch, it no longer waits.
    eventually("the request is in the batch", || async {
        let arrived = sum(&Page::of(at).await.0, "ts_inference_requests_total");
        arrived == Some(1.0) && server.waiting("sleepy") == 0
    })
    .await;
    assert!(!Page::of(at).await.has("ts_inference_latency_microseconds"));
    // Three more requests fill the batch, and eight at once are two full batches.
    for (seconds, count) in [(0.0015, 3), (0.004, 8)] {
        let load = load(at, 2000.0, seconds);
        let report = timeout(TIMEOUT, load.finish()).await.unwrap();
        assert_eq!(report.summary().by_outcome["200"].n, count);
    }
    assert!(client.response().await.body.contains("\"batch\": 4"));
}

#[tokio::test]
async fn grpc_requests_count_on_arrival_and_in_the_gauges_but_not_in_the_latencies() {
    let (server, at) = started(serving(20, |_| {})).await;
    server.block_workers(1);
    assert_eq!(server.send_grpc("sleepy", 40), 40);
    assert_eq!(server.send_grpc("nope", 40), 0);
    let page = Page::of(at).await;
    assert_eq!(page.requests(), 40.0);
    eventually("39 wait", || async {
        support::waiting(at.management, "sleepy").await == 39
    })
    .await;
    server.block_workers(0);
    eventually("all served", || async { server.waiting("sleepy") == 0 }).await;
    eventually("the last one is counted", || async {
        sum(&Page::of(at).await.0, "QueueTime").is_some_and(|t| t > 300.0)
    })
    .await;
    let page = Page::of(at).await;
    assert!(page.has("PredictionTime"));
    assert!(!page.has("ts_queue_latency_microseconds"));
    assert!(!page.has("ts_inference_latency_microseconds"));
}

#[tokio::test]
async fn clients_that_give_up_do_not_shorten_the_queue() {
    let (server, at) = started(serving(30, |_| {})).await;
    server.block_workers(1);
    let mut options = LoadOptions::to(
        at.inference,
        vec![Step {
            rate: 200.0,
            seconds: 0.05,
        }],
    );
    // No client gives up before its request is sent.
    options.timeout = Duration::from_secs(2);
    let report = RunningLoad::start(options).unwrap().finish().await;
    assert_eq!(report.summary().by_outcome["timeout"].n, 10);
    eventually(
        "nine wait, although their clients have disconnected",
        || async { server.waiting("sleepy") == 9 },
    )
    .await;
    server.block_workers(0);
    eventually("all ten are completed", || async {
        let page = Page::of(at).await;
        sum(&page.0, "ts_inference_latency_microseconds").unwrap_or(0.0)
            - sum(&page.0, "ts_queue_latency_microseconds").unwrap_or(0.0)
            >= 10.0 * 30_000.0
    })
    .await;
}

#[tokio::test]
async fn a_body_can_request_a_service_time_and_failures() {
    let (_server, at) = started(serving(10, |_| {})).await;
    let slow = post(at.inference, MODEL, r#"{"sleep_ms": 150}"#).await;
    assert!(slow.body.contains("\"slept_ms\": 150.0"), "{}", slow.body);
    let inference = Page::of(at).await.inference();
    assert!(inference >= 0.15, "{inference}");

    let failed = post(at.inference, MODEL, r#"{"fail": "exception"}"#).await;
    assert_eq!(failed.status, 503);
    assert!(failed.body.contains("Prediction failed"));
    // A new worker is ready after a second, which a busy machine may miss.
    let mut deaths = 0.0;
    loop {
        let died = post(at.inference, MODEL, r#"{"fail": "exit"}"#).await;
        assert_eq!(died.status, 500);
        assert!(died.body.contains("Worker died."));
        deaths += 1.0;
        let models = describe(at.management, "sleepy").await;
        if models[0]["workers"][0]["status"] == "UNLOADING" {
            break;
        }
        assert!(deaths < 50.0, "a dead worker is never UNLOADING: {models}");
    }
    // A new worker continues. No counter was reset, and failures do not count in the latencies.
    assert_eq!(post(at.inference, MODEL, "{}").await.status, 200);
    let page = Page::of(at).await;
    assert_eq!(page.requests(), 3.0 + deaths);
    assert_eq!(page.value("Requests5XX"), 1.0 + deaths);
    assert_eq!(page.value("Requests2XX"), 3.0 + deaths);
}
