//! Drains of simulated servers.

use std::collections::BTreeMap;

use prometheus_client::registry::Registry;
use pushscale_protocol::PortState;

use super::*;
use pushscale_reading::{Counters, Page, Queue, Reader, Scrape, ServerCounters};

/// A simulated server.
struct Server {
    started: Instant,
    reader: Reader,
    watch: DrainWatch,
    counters: Counters,
    waiting: Option<f64>,
    batches_continuously: bool,
    recognised: bool,
}

fn drain(deadline_seconds: u64) -> (Drain, Server, Shutdown) {
    let shutdown = Shutdown::new();
    let metrics = Metrics::register(&mut Registry::default());
    let (drain, watch) = new(
        Duration::from_secs(deadline_seconds),
        metrics,
        shutdown.clone(),
    );
    let server = Server {
        started: Instant::now(),
        reader: Reader::default(),
        watch,
        counters: Counters {
            arrivals: Some(0.0),
            wait_seconds: Some(0.0),
            sojourn_seconds: Some(0.0),
            service_seconds: None,
        },
        waiting: Some(0.0),
        batches_continuously: false,
        recognised: true,
    };
    (drain, server, shutdown)
}

impl Server {
    fn arrives(&mut self) {
        *self.counters.arrivals.as_mut().unwrap() += 1.0;
    }

    fn completes(&mut self, service: f64) {
        *self.counters.sojourn_seconds.as_mut().unwrap() += service;
        self.counters.service_seconds = Some(service);
    }

    fn page(&self) -> Page {
        Page {
            models: BTreeMap::from([("m".to_owned(), self.counters)]),
            server: ServerCounters::default(),
            recognised: self.recognised,
            samples: 3,
            bad_lines: 0,
        }
    }

    fn scrape(&mut self) {
        let queue = self.waiting.map(|waiting| Queue {
            waiting,
            workers_ready: 1.0,
            batch_size: 1.0,
            continuous_batching: self.batches_continuously,
            ..Queue::default()
        });
        let management = queue.map(|queue| Ok(BTreeMap::from([("m".to_owned(), queue)])));
        self.observe(Ok(self.page()), management);
    }

    /// Its metrics port is in this state at each scrape, and its management port responds like this.
    async fn fails_for_ever(
        &mut self,
        state: PortState,
        management: Option<Result<BTreeMap<String, Queue>, PortState>>,
    ) {
        loop {
            self.observe(Err(state), management.clone());
            tokio::time::sleep(DRAIN_SCRAPE_INTERVAL).await;
        }
    }

    fn observe(
        &mut self,
        metrics: Result<Page, PortState>,
        management: Option<Result<BTreeMap<String, Queue>, PortState>>,
    ) {
        let scrape = Scrape {
            own_responses: 0,
            at: self.started.elapsed(),
            metrics,
            management,
        };
        let reading = self.reader.read(&scrape);
        self.watch.observe(Instant::now(), &scrape, &reading);
    }

    /// Scrapes every 100 ms, as during a drain, for the given time.
    async fn scrape_for(&mut self, seconds: f64) {
        let scrapes = (seconds * 10.0).round();
        let mut scrape = 0.0;
        while scrape < scrapes {
            self.scrape();
            tokio::time::sleep(DRAIN_SCRAPE_INTERVAL).await;
            scrape += 1.0;
        }
    }
}

/// Requests a drain while `life` runs. Returns the response and its time in seconds.
async fn response(drain: &Drain, life: impl Future<Output = ()>) -> (String, f64) {
    let started = Instant::now();
    let drained = async {
        let reply = drain.respond().await;
        (body(reply).await, started.elapsed().as_secs_f64())
    };
    let life = async {
        life.await;
        std::future::pending::<()>().await;
    };
    tokio::select! {
        response = drained => response,
        () = life => unreachable!("the future never completes"),
    }
}

async fn body(reply: Reply) -> String {
    use http_body_util::BodyExt as _;
    assert_eq!(reply.status(), StatusCode::OK);
    let bytes = reply.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn an_idle_server_is_drained_after_the_shortest_drain() {
    let (drain, mut server, _) = drain(25);
    server.scrape_for(5.0).await;
    let (text, after) = response(&drain, server.scrape_for(60.0)).await;
    assert_eq!(text, "drained after 5.0 s, no requests arrived\n");
    assert!((5.0..5.2).contains(&after), "{after}");
}

#[tokio::test(start_paused = true)]
async fn a_shorter_deadline_drains_only_an_idle_server() {
    for (waiting, wanted) in [(0.0, "drained after 2.0 s"), (1.0, "not drained: deadline")] {
        let (drain, mut server, _) = drain(2);
        server.waiting = Some(waiting);
        server.scrape_for(5.0).await;
        let (text, after) = response(&drain, server.scrape_for(60.0)).await;
        assert!(text.starts_with(wanted), "{text}");
        assert!((2.0..2.2).contains(&after), "{after}");
    }
}

#[tokio::test(start_paused = true)]
async fn waiting_requests_delay_the_response() {
    let (drain, mut server, _) = drain(25);
    server.scrape_for(1.0).await;
    let life = async {
        server.waiting = Some(3.0);
        for _ in 0..3 {
            server.arrives();
        }
        server.scrape_for(6.0).await;
        server.completes(0.1);
        server.waiting = Some(0.0);
        server.scrape_for(60.0).await;
    };
    let (text, after) = response(&drain, life).await;
    assert_eq!(
        text,
        "drained after 6.6 s, the last request arrived after 0.0 s\n"
    );
    assert!((6.5..6.8).contains(&after), "{after}");
}

#[tokio::test(start_paused = true)]
async fn a_long_service_time_in_the_past_delays_the_response() {
    let (drain, mut server, _) = drain(25);
    // Requests of 8 s each. The last one is taken a second before the drain.
    server.scrape();
    server.arrives();
    server.scrape();
    server.completes(8.0);
    server.scrape();
    server.arrives();
    server.completes(8.0);
    server.scrape_for(1.0).await;
    let (_, after) = response(&drain, server.scrape_for(60.0)).await;
    // 8 s, a quarter more, and half a second without changes, since the request was taken.
    assert!((9.5..9.7).contains(&after), "{after}");
}

#[tokio::test(start_paused = true)]
async fn a_request_without_a_completion_delays_the_response() {
    let (drain, mut server, _) = drain(25);
    server.scrape_for(1.0).await;
    server.arrives();
    let life = async {
        server.scrape_for(15.0).await;
        server.completes(15.0);
        server.scrape_for(60.0).await;
    };
    let (text, after) = response(&drain, life).await;
    // Completions are not counted: another request may be in flight.
    assert_eq!(
        text,
        "drained after 19.3 s, the last request arrived after 0.0 s\n"
    );
    assert!((19.2..19.5).contains(&after), "{after}");
}

#[tokio::test(start_paused = true)]
async fn without_the_management_port_the_counters_decide() {
    let (drain, mut server, _) = drain(25);
    server.waiting = None;
    server.scrape_for(1.0).await;
    let life = async {
        for _ in 0..60 {
            server.arrives();
        }
        for _ in 0..60 {
            server.scrape_for(0.1).await;
            server.completes(0.1);
        }
        server.scrape_for(60.0).await;
    };
    let (text, after) = response(&drain, life).await;
    assert!(text.starts_with("drained after 6."), "{text}");
    assert!((6.4..6.9).contains(&after), "{after}");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_not_running_ends_the_drain_early() {
    let (drain, mut server, _) = drain(25);
    let life = server.fails_for_ever(PortState::Refused, None);
    let (text, after) = response(&drain, life).await;
    assert_eq!(text, "nothing to drain: the server refuses connections\n");
    // Its inference port may still serve requests.
    assert!((5.0..5.2).contains(&after), "{after}");
}

/// TorchServe can run without a metrics port, or with another one.
#[tokio::test(start_paused = true)]
async fn a_server_whose_management_port_responds_is_drained_until_the_deadline() {
    let (drain, mut server, _) = drain(10);
    let life = server.fails_for_ever(PortState::Refused, Some(Ok(BTreeMap::new())));
    let (text, after) = response(&drain, life).await;
    assert!(text.contains("deadline after 10.0 s"), "{text}");
    assert!((9.9..10.1).contains(&after), "{after}");
}

/// Of more than 32 busy models, the others are not described in a scrape.
#[tokio::test(start_paused = true)]
async fn a_model_without_a_queue_may_have_waiting_requests() {
    let (drain, mut server, _) = drain(60);
    server.scrape_for(1.0).await;
    for _ in 0..5 {
        server.arrives();
    }
    let life = async {
        // One worker completes a request of 2 s after the other.
        for _ in 0..5 {
            for _ in 0..20 {
                server.observe(Ok(server.page()), Some(Ok(BTreeMap::new())));
                tokio::time::sleep(DRAIN_SCRAPE_INTERVAL).await;
            }
            server.completes(2.0);
        }
        server.scrape_for(60.0).await;
    };
    let (text, after) = response(&drain, life).await;
    // A worker may have taken a request at 8 s; 2.5 s, and half a second without changes, after that.
    assert!(text.starts_with("drained after 11."), "{text}");
    assert!((11.0..11.3).contains(&after), "{after}");
}

/// A user's own metrics_config can leave the counters out.
#[tokio::test(start_paused = true)]
async fn a_server_that_does_not_count_arrivals_is_drained_until_the_deadline() {
    let (drain, mut server, _) = drain(10);
    server.recognised = false;
    let (text, after) = response(&drain, server.scrape_for(60.0)).await;
    assert!(text.contains("deadline after 10.0 s"), "{text}");
    assert!((9.9..10.1).contains(&after), "{after}");
}

#[tokio::test(start_paused = true)]
async fn each_step_of_continuous_batching_delays_the_response() {
    // TorchServe times no gRPC requests.
    for is_timed in [true, false] {
        let (drain, mut server, _) = drain(60);
        server.batches_continuously = true;
        server.scrape_for(1.0).await;
        server.arrives();
        let life = async {
            // One request of 20 s, in steps of about 100 ms.
            for step in 0..200 {
                server.counters.service_seconds = Some(0.1 + f64::from(step) * 1e-6);
                server.scrape_for(0.1).await;
            }
            if is_timed {
                *server.counters.sojourn_seconds.as_mut().unwrap() += 20.0;
            }
            // The management port does not respond for a moment.
            server.waiting = None;
            server.scrape();
            server.waiting = Some(0.0);
            server.scrape_for(60.0).await;
        };
        let (text, after) = response(&drain, life).await;
        assert!(text.starts_with("drained after 20."), "{text}");
        assert!((20.0..21.0).contains(&after), "{after}");
    }
}

/// Scraped once per second, the gauge shows only the last of many requests.
#[tokio::test(start_paused = true)]
async fn a_long_service_time_between_short_ones_delays_the_response() {
    let (drain, mut server, _) = drain(60);
    server.scrape();
    tokio::time::sleep(Duration::from_secs(1)).await;
    server.arrives();
    server.scrape();
    tokio::time::sleep(Duration::from_secs(1)).await;
    server.completes(8.0);
    server.arrives();
    server.completes(0.1);
    server.scrape();
    let (_, after) = response(&drain, server.scrape_for(60.0)).await;
    // 8.1 s, a quarter more, and half a second without changes.
    assert!((10.5..10.8).contains(&after), "{after}");
}

#[tokio::test(start_paused = true)]
async fn a_server_without_metrics_is_drained_until_the_deadline() {
    for (state, name) in [(PortState::Frozen, "Frozen"), (PortState::Empty, "Empty")] {
        let (drain, mut server, _) = drain(10);
        let (text, after) = response(&drain, server.fails_for_ever(state, None)).await;
        assert!(text.contains("deadline after 10.0 s"), "{text}");
        assert!(text.contains(name), "{text}");
        assert!((9.9..10.1).contains(&after), "{after}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_earlier_request_does_not_shorten_a_later_one() {
    let (drain, mut server, _) = drain(25);
    server.scrape_for(5.0).await;
    let late = async {
        tokio::time::sleep(Duration::from_millis(1500)).await;
        body(drain.respond().await).await
    };
    let responses = async { tokio::join!(drain.respond(), late) };
    let started = Instant::now();
    tokio::select! {
        (_, second) = responses => assert_eq!(second, "drained after 5.0 s, no requests arrived\n"),
        () = server.scrape_for(60.0) => panic!("no response"),
    }
    assert!(started.elapsed() >= Duration::from_millis(6500));
    assert!(!server.watch.is_requested());
}

#[tokio::test(start_paused = true)]
async fn a_disconnected_client_ends_its_request() {
    let (drain, server, _) = drain(25);
    let result = tokio::time::timeout(Duration::from_secs(1), drain.respond()).await;
    assert!(result.is_err());
    assert!(!server.watch.is_requested());
}

#[tokio::test(start_paused = true)]
async fn shutdown_ends_the_drain_at_once() {
    let (drain, mut server, shutdown) = drain(25);
    let life = async {
        server.scrape_for(0.5).await;
        shutdown.cancel();
    };
    let (text, after) = response(&drain, life).await;
    assert!(
        text.starts_with("not drained: the sidecar is shutting down"),
        "{text}"
    );
    assert!(after < 0.7, "{after}");
}
