//! Servers of which every scrape is known, and how long they keep a pod.

use std::collections::BTreeMap;

use prometheus_client::registry::Registry;
use pushscale_protocol::PortState;

use super::*;
use crate::reading::Reader;
use crate::scrape::{Counters, Host, Page, Queue, Scrape};

/// A server, scrape by scrape.
struct Server {
    began: Instant,
    reader: Reader,
    watch: DrainWatch,
    counters: Counters,
    pending: Option<f64>,
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
        began: Instant::now(),
        reader: Reader::default(),
        watch,
        counters: Counters {
            arrivals: Some(0.0),
            wait_seconds: Some(0.0),
            sojourn_seconds: Some(0.0),
            service_seconds: None,
        },
        pending: Some(0.0),
    };
    (drain, server, shutdown)
}

impl Server {
    fn arrives(&mut self) {
        *self.counters.arrivals.as_mut().unwrap() += 1.0;
    }

    fn answers(&mut self, service: f64) {
        *self.counters.sojourn_seconds.as_mut().unwrap() += service;
        self.counters.service_seconds = Some(service);
    }

    fn scrape(&mut self) {
        let name = || "m".to_owned();
        let page = Page {
            models: BTreeMap::from([(name(), self.counters)]),
            host: Host::default(),
            recognised: true,
            samples: 3,
            bad_lines: 0,
        };
        let queue = self.pending.map(|pending| Queue {
            pending,
            workers_ready: 1.0,
            batch_size: 1.0,
            ..Queue::default()
        });
        let management = queue.map(|queue| Ok(BTreeMap::from([(name(), queue)])));
        self.observe(Ok(page), management);
    }

    fn says(&mut self, state: PortState) {
        self.observe(Err(state), None);
    }

    fn observe(
        &mut self,
        metrics: Result<Page, PortState>,
        management: Option<Result<BTreeMap<String, Queue>, PortState>>,
    ) {
        let scrape = Scrape {
            at: self.began.elapsed(),
            metrics,
            management,
        };
        let reading = self.reader.read(&scrape);
        self.watch.observe(Instant::now(), &scrape, &reading);
    }

    /// Looks every 100 ms, as while a drain is in hand, for so many seconds.
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

/// What the drain says, and after how many seconds, while `life` goes on.
async fn told(drain: &Drain, life: impl Future<Output = ()>) -> (String, f64) {
    let began = Instant::now();
    let answer = async {
        let reply = drain.answer().await;
        (body(reply).await, began.elapsed().as_secs_f64())
    };
    let life = async {
        life.await;
        std::future::pending::<()>().await;
    };
    tokio::select! {
        told = answer => told,
        () = life => unreachable!("it never ends"),
    }
}

async fn body(reply: Reply) -> String {
    use http_body_util::BodyExt as _;
    assert_eq!(reply.status(), StatusCode::OK);
    let bytes = reply.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_server_that_does_nothing_is_kept_as_long_as_requests_may_still_come() {
    let (drain, mut server, _) = drain(25);
    server.scrape_for(5.0).await;
    let (told, after) = told(&drain, server.scrape_for(60.0)).await;
    assert_eq!(told, "drained after 5.0 s, no requests arrived\n");
    assert!((5.0..5.2).contains(&after), "{after}");
}

#[tokio::test(start_paused = true)]
async fn a_deadline_shorter_than_that_ends_a_quiet_server_as_drained_and_a_busy_one_as_not() {
    for (pending, wanted) in [(0.0, "drained after 2.0 s"), (1.0, "not drained: deadline")] {
        let (drain, mut server, _) = drain(2);
        server.pending = Some(pending);
        server.scrape_for(5.0).await;
        let (told, after) = told(&drain, server.scrape_for(60.0)).await;
        assert!(told.starts_with(wanted), "{told}");
        assert!((2.0..2.2).contains(&after), "{after}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_waits_is_waited_for() {
    let (drain, mut server, _) = drain(25);
    server.scrape_for(1.0).await;
    let life = async {
        server.pending = Some(3.0);
        for _ in 0..3 {
            server.arrives();
        }
        server.scrape_for(6.0).await;
        server.answers(0.1);
        server.pending = Some(0.0);
        server.scrape_for(60.0).await;
    };
    let (told, after) = told(&drain, life).await;
    assert_eq!(
        told,
        "drained after 6.6 s, the last request arrived after 0.0 s\n"
    );
    assert!((6.5..6.8).contains(&after), "{after}");
}

#[tokio::test(start_paused = true)]
async fn what_is_in_a_workers_hands_is_waited_for_though_nothing_shows_it() {
    let (drain, mut server, _) = drain(25);
    // Requests of 8 s each, as was seen before; the last one is taken a second before the pod must go.
    server.scrape();
    server.arrives();
    server.scrape();
    server.answers(8.0);
    server.scrape();
    server.arrives();
    server.answers(8.0);
    server.scrape_for(1.0).await;
    let (_, after) = told(&drain, server.scrape_for(60.0)).await;
    // 8 s, a quarter more, and half a second of quiet, from the moment when it was taken.
    assert!((9.5..9.7).contains(&after), "{after}");
}

#[tokio::test(start_paused = true)]
async fn a_request_that_no_answer_followed_is_still_there_however_long_it_takes() {
    let (drain, mut server, _) = drain(25);
    server.scrape_for(1.0).await;
    server.arrives();
    let life = async {
        server.scrape_for(15.0).await;
        server.answers(15.0);
        server.scrape_for(60.0).await;
    };
    let (told, after) = told(&drain, life).await;
    // Nobody counts answers: there might have been two of them.
    assert_eq!(
        told,
        "drained after 19.3 s, the last request arrived after 0.0 s\n"
    );
    assert!((19.2..19.5).contains(&after), "{after}");
}

#[tokio::test(start_paused = true)]
async fn without_the_management_port_the_counters_say_when_it_is_quiet() {
    let (drain, mut server, _) = drain(25);
    server.pending = None;
    server.scrape_for(1.0).await;
    let life = async {
        for _ in 0..60 {
            server.arrives();
        }
        for _ in 0..60 {
            server.scrape_for(0.1).await;
            server.answers(0.1);
        }
        server.scrape_for(60.0).await;
    };
    let (told, after) = told(&drain, life).await;
    assert!(told.starts_with("drained after 6."), "{told}");
    assert!((6.4..6.9).contains(&after), "{after}");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_not_there_has_nothing_to_lose() {
    let (drain, mut server, _) = drain(25);
    let life = async {
        for _ in 0..10 {
            server.says(PortState::Refused);
            tokio::time::sleep(DRAIN_SCRAPE_INTERVAL).await;
        }
    };
    let (told, after) = told(&drain, life).await;
    assert_eq!(told, "nothing to drain: the server refuses connections\n");
    assert!(after < 0.5, "{after}");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_says_nothing_is_waited_for_until_the_deadline() {
    for (state, named) in [(PortState::Frozen, "Frozen"), (PortState::Empty, "Empty")] {
        let (drain, mut server, _) = drain(10);
        let life = async {
            loop {
                server.says(state);
                tokio::time::sleep(DRAIN_SCRAPE_INTERVAL).await;
            }
        };
        let (told, after) = told(&drain, life).await;
        assert!(told.contains("deadline after 10.0 s"), "{told}");
        assert!(told.contains(named), "{told}");
        assert!((9.9..10.1).contains(&after), "{after}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_asks_earlier_takes_nothing_from_who_asks_later() {
    let (drain, mut server, _) = drain(25);
    server.scrape_for(5.0).await;
    let late = async {
        tokio::time::sleep(Duration::from_millis(1500)).await;
        body(drain.answer().await).await
    };
    let both = async { tokio::join!(drain.answer(), late) };
    let began = Instant::now();
    tokio::select! {
        (_, second) = both => assert_eq!(second, "drained after 5.0 s, no requests arrived\n"),
        () = server.scrape_for(60.0) => panic!("no answer"),
    }
    assert!(began.elapsed() >= Duration::from_millis(6500));
    assert!(!server.watch.is_requested());
}

#[tokio::test(start_paused = true)]
async fn who_hangs_up_is_forgotten() {
    let (drain, server, _) = drain(25);
    let asked = tokio::time::timeout(Duration::from_secs(1), drain.answer()).await;
    assert!(asked.is_err());
    assert!(!server.watch.is_requested());
}

#[tokio::test(start_paused = true)]
async fn a_sidecar_that_must_end_answers_at_once() {
    let (drain, mut server, shutdown) = drain(25);
    let life = async {
        server.scrape_for(0.5).await;
        shutdown.cancel();
    };
    let (told, after) = told(&drain, life).await;
    assert!(
        told.starts_with("not drained: the sidecar is shutting down"),
        "{told}"
    );
    assert!(after < 0.7, "{after}");
}
