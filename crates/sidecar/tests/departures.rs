//! TorchServe does not count completed requests. These tests compare the derived counts with the responses of the
//! captured servers, scrape by scrape, and with the totals of their clients.

#![cfg(test)]
mod series;

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use pushscale_protocol::{Model, PortState};
use pushscale_reading::{Counters, Page, Queue, Reader, Reading, Scrape, ServerCounters};

use series::{directory_of, readings, scrapes};

/// Tolerance in requests: the two ports are scraped some milliseconds apart, and a batch may complete in between.
const JITTER: f64 = 1.5;

/// The series, and the maximum number of requests in flight.
const SERIES: [(&str, f64); 9] = [
    ("light-2rps-100ms", 1.0),
    ("overload-20rps-100ms", 1.0),
    ("queue-full-q20-20rps-100ms", 1.0),
    ("two-workers-30rps", 2.0),
    ("batch4-delay200-light-2rps", 4.0),
    ("batch4-delay200-busy-30rps", 4.0),
    ("batch4-delay200-overload-60rps", 4.0),
    ("stuck-one-8s-request", 1.0),
    ("worker-killed", 1.0),
];

fn assert_near(found: Option<f64>, expected: f64, tolerance: f64, what: &str) {
    let found = found.unwrap_or_else(|| panic!("{what}: unknown"));
    assert!(
        (found - expected).abs() <= tolerance,
        "{what}: {found}, expected {expected}"
    );
}

#[test]
fn completed_requests_match_the_servers_responses() {
    for (series, slots) in SERIES {
        let scrapes = scrapes(&directory_of(series), true);
        let server = |scrape: usize| scrapes[scrape].metrics.as_ref().unwrap().server;
        let increase = |scrape, of: fn(ServerCounters) -> Option<f64>| {
            of(server(scrape)).unwrap_or_default() - of(server(0)).unwrap_or_default()
        };
        for (scrape, reading) in readings(&directory_of(series), true).iter().enumerate() {
            let model = &reading.models[0];
            let what = format!("{series} at {scrape} s");
            // The capturing script sent two requests per second.
            let expected = increase(scrape, |host| host.succeeded) - 2.0 * scrape as f64;
            assert_near(model.completed_total, expected, slots + JITTER, &what);
            let refused = increase(scrape, |host| host.failed);
            assert_eq!(model.rejected_total, Some(refused), "{what}");
        }
    }
}

#[test]
fn completed_requests_match_the_clients_totals() {
    let more = [
        ("clients-give-up", 1.0),
        ("load-during-model-load-then-2-workers", 2.0),
    ];
    for (series, slots) in SERIES.into_iter().chain(more) {
        let clients = fs::read_to_string(directory_of(series).join("client.csv")).unwrap();
        // The server completes the request of a client that disconnects.
        let served = |line: &&str| line.ends_with(",200") || line.ends_with(",timeout");
        let expected = clients.lines().filter(served).count() as f64;
        let readings = readings(&directory_of(series), true);
        let completed = readings.last().unwrap().models[0].completed_total;
        // While a queue was full, there were two manual requests.
        assert_near(completed, expected, slots + 1.0, series);
    }
}

#[test]
fn grpc_and_requests_during_model_load_complete_as_the_queue_drains() {
    for (series, slots) in [
        ("grpc-only", 1.0),
        ("load-during-model-load-then-2-workers", 2.0),
        ("clients-give-up", 1.0),
    ] {
        let readings = readings(&directory_of(series), true);
        let first = readings[0].models[0].arrivals_total.unwrap_or_default();
        for reading in &readings {
            let model = &reading.models[0];
            let dequeued =
                model.arrivals_total.unwrap_or_default() - first - model.waiting.unwrap();
            let what = format!("{series} at {:?}", reading.at);
            // Each worker is processing at most one of the dequeued requests.
            assert_near(model.completed_total, dequeued - slots / 2.0, slots, &what);
        }
    }
}

#[test]
fn requests_waiting_in_a_new_server_are_not_completed() {
    // The first scrape finds the server starting; at the next one, 19 requests wait for its model.
    let mut reader = Reader::default();
    let starting = Scrape {
        own_responses: 0,
        at: Duration::from_secs(1),
        metrics: Err(PortState::Refused),
        management: None,
    };
    reader.read(&starting);
    let scrapes = scrapes(&directory_of("load-during-model-load-then-2-workers"), true);
    for scrape in &scrapes[2..4] {
        let reading = reader.read(scrape);
        assert!(reading.models[0].waiting >= Some(19.0), "{reading:?}");
        assert_near(reading.models[0].completed_total, 0.0, 0.0, "all wait");
    }
    let readings: Vec<Reading> = scrapes[4..]
        .iter()
        .map(|scrape| reader.read(scrape))
        .collect();
    assert_near(
        readings[4].models[0].completed_total,
        40.0,
        2.0,
        "all requests",
    );
}

#[test]
fn a_restart_resets_all_counts() {
    let full = scrapes(&directory_of("queue-full-q20-20rps-100ms"), true);
    let light = scrapes(&directory_of("light-2rps-100ms"), true);
    for refused_between in [true, false] {
        let mut reader = Reader::default();
        let before = full
            .iter()
            .map(|scrape| reader.read(scrape))
            .last()
            .unwrap();
        assert!(before.models[0].completed_total > Some(80.0), "{before:?}");
        let later = |scrape: &Scrape| Scrape {
            at: scrape.at + Duration::from_secs(20),
            ..scrape.clone()
        };
        if refused_between {
            reader.read(&Scrape {
                own_responses: 0,
                at: Duration::from_secs(19),
                metrics: Err(PortState::Refused),
                management: None,
            });
        }
        let mut after = light.iter().map(|scrape| reader.read(&later(scrape)));
        let first = after.next().unwrap();
        assert_eq!(first.counter_epoch, 1);
        assert_eq!(first.models[0].rejected_total, Some(0.0));
        // The new process has received one request by then, and twelve more until the last scrape.
        assert_near(first.models[0].completed_total, 1.0, 1.0, "after a restart");
        let last = after.last().unwrap();
        assert_near(
            last.models[0].completed_total,
            13.0,
            1.0,
            "at the last scrape",
        );
    }
}

#[test]
fn counts_decrease_only_with_a_restart() {
    let all = SERIES.iter().map(|(series, _)| *series);
    for series in all.chain(["clients-give-up", "grpc-only"]) {
        let readings = readings(&directory_of(series), true);
        for pair in readings.windows(2) {
            let [then, now] = [&pair[0], &pair[1]].map(|reading| &reading.models[0]);
            assert_eq!(pair[1].counter_epoch, 0, "{series}");
            assert!(now.completed_total >= then.completed_total, "{series}");
            assert!(now.rejected_total >= then.rejected_total, "{series}");
            let present = now.waiting.unwrap() + now.in_flight.unwrap();
            assert!((0.0..=104.0).contains(&present), "{series}: {present}");
        }
    }
}

#[test]
fn completed_requests_are_unknown_while_the_queue_is_unknown() {
    let mut reader = Reader::default();
    let scrapes = scrapes(&directory_of("overload-20rps-100ms"), true);
    for (second, scrape) in scrapes.iter().enumerate() {
        let frozen = (5..9).contains(&second);
        let scrape = Scrape {
            management: if frozen {
                Some(Err(PortState::Frozen))
            } else {
                scrape.management.clone()
            },
            ..scrape.clone()
        };
        let model = reader.read(&scrape).models.remove(0);
        assert_eq!(model.completed_total.is_none(), frozen, "{second} s");
        assert_eq!(model.in_flight.is_none(), frozen, "{second} s");
        if second == 9 {
            assert_near(
                model.completed_total,
                81.0,
                1.0 + JITTER,
                "after the port responds again",
            );
        }
    }
    for reading in readings(&directory_of("overload-20rps-100ms"), false) {
        assert_eq!(reading.models[0].completed_total, None, "metrics alone");
    }
}

/// A simulated server whose models have one worker each.
struct Server {
    second: u64,
    failed: f64,
    /// Responses to requests. The server counts them with those to the sidecar, three per scrape.
    responses: f64,
    models: BTreeMap<&'static str, (Counters, Queue)>,
}

impl Server {
    fn new(models: &[&'static str], capacity: f64) -> Self {
        let queue = Queue {
            capacity_left: capacity,
            workers_ready: 1.0,
            batch_size: 1.0,
            ..Queue::default()
        };
        let counters = Counters {
            arrivals: Some(0.0),
            wait_seconds: Some(0.0),
            sojourn_seconds: Some(0.0),
            service_seconds: Some(0.1),
        };
        Self {
            second: 0,
            failed: 0.0,
            responses: 0.0,
            models: models
                .iter()
                .map(|name| (*name, (counters, queue)))
                .collect(),
        }
    }

    /// The next second of one model: arrivals, requests waiting at its end, and completions of 100 ms each.
    fn model(&mut self, name: &str, arrived: f64, waiting: f64, served: f64) {
        let (counters, queue) = self.models.get_mut(name).unwrap();
        let capacity = queue.waiting + queue.capacity_left;
        counters.arrivals = counters.arrivals.map(|count| count + arrived);
        counters.sojourn_seconds = counters.sojourn_seconds.map(|sum| sum + served * 0.1);
        queue.waiting = waiting;
        queue.capacity_left = capacity - waiting;
    }

    fn scrape(&mut self, reader: &mut Reader) -> BTreeMap<String, Model<'static>> {
        let of = |(name, (counters, _)): (&&str, &(Counters, Queue))| (name.to_string(), *counters);
        let scrape = Scrape {
            own_responses: 3 * self.second,
            at: Duration::from_secs(self.second),
            metrics: Ok(Page {
                models: self.models.iter().map(of).collect(),
                server: ServerCounters {
                    succeeded: Some(self.responses + 3.0 * self.second as f64),
                    failed: Some(self.failed),
                    ..ServerCounters::default()
                },
                recognised: true,
                ..Page::default()
            }),
            management: Some(Ok(self
                .models
                .iter()
                .map(|(name, (_, queue))| (name.to_string(), *queue))
                .collect())),
        };
        self.second += 1;
        let models = reader.read(&scrape).models;
        models
            .into_iter()
            .map(|model| (model.name.to_string(), model))
            .collect()
    }
}

/// A request of eight seconds is in flight while the other model completes five per second.
#[test]
fn responses_belong_to_the_model_whose_requests_complete() {
    let mut reader = Reader::default();
    let mut server = Server::new(&["busy", "fast"], 20.0);
    let (counters, _) = server.models.get_mut("busy").unwrap();
    counters.service_seconds = Some(8.0);
    server.scrape(&mut reader);
    server.model("busy", 1.0, 0.0, 1.0);
    server.responses += 1.0;
    server.scrape(&mut reader);
    server.model("busy", 1.0, 0.0, 0.0);
    for second in 1..=8 {
        server.model("fast", 5.0, 0.0, 5.0);
        server.responses += 5.0;
        let models = server.scrape(&mut reader);
        assert_near(models["busy"].completed_total, 1.0, 0.3, "busy");
        assert_near(models["busy"].in_flight, 1.0, 0.3, "busy");
        let completed = 5.0 * f64::from(second);
        assert_near(models["fast"].completed_total, completed, 1.0, "fast");
    }
}

#[test]
fn failures_belong_to_the_model_with_the_full_queue() {
    let mut reader = Reader::default();
    let mut server = Server::new(&["full", "idle"], 20.0);
    server.scrape(&mut reader);
    // 30 arrivals and 10 completions per second with 20 places in the queue: from the second second on, 20 requests per
    // second are rejected. Every other scrape finds the queue between two batches.
    server.model("full", 30.0, 20.0, 9.0);
    server.model("idle", 4.0, 0.0, 4.0);
    server.scrape(&mut reader);
    let mut rejected = 0.0;
    for second in 1..=30 {
        server.model("full", 30.0, 20.0 - f64::from(second % 2), 10.0);
        server.model("idle", 4.0, 0.0, 4.0);
        rejected += if second % 2 == 1 { 21.0 } else { 19.0 };
        server.failed = rejected;
        let models = server.scrape(&mut reader);
        let completed = 9.0 + 10.0 * f64::from(second);
        assert_near(models["full"].completed_total, completed, 2.0, "full");
        assert_near(models["full"].rejected_total, rejected, 0.1, "full");
        let completed = 4.0 + 4.0 * f64::from(second);
        assert_near(models["idle"].completed_total, completed, 2.0, "idle");
        assert_near(models["idle"].rejected_total, 0.0, 0.1, "idle");
    }
}

#[test]
fn two_full_models_share_failures_by_excess() {
    let mut reader = Reader::default();
    let mut server = Server::new(&["a", "b"], 20.0);
    server.scrape(&mut reader);
    // The first second fills both queues and provides both service times.
    server.model("a", 30.0, 20.0, 10.0);
    server.model("b", 30.0, 20.0, 10.0);
    server.scrape(&mut reader);
    for second in 1..=30 {
        server.model("a", 12.0, 20.0, 10.0);
        server.model("b", 40.0, 20.0, 10.0);
        server.failed += 2.0 + 30.0;
        let models = server.scrape(&mut reader);
        let completed = 10.0 + 10.0 * f64::from(second);
        assert_near(models["a"].completed_total, completed, 3.0, "a");
        assert_near(models["b"].completed_total, completed, 3.0, "b");
        assert_near(
            models["b"].rejected_total,
            30.0 * f64::from(second),
            3.0,
            "b",
        );
    }
}

#[test]
fn a_request_that_fails_late_is_not_completed() {
    let mut reader = Reader::default();
    let mut server = Server::new(&["a"], 100.0);
    server.scrape(&mut reader);
    for second in 1..=30 {
        // One request every ten seconds fails after five seconds, without other traffic.
        let arrives = if second % 10 == 1 { 1.0 } else { 0.0 };
        server.model("a", arrives, 0.0, 0.0);
        server.failed += if second % 10 == 6 { 1.0 } else { 0.0 };
        let models = server.scrape(&mut reader);
        assert_near(models["a"].completed_total, 0.0, 1.0, "a");
    }
    let models = server.scrape(&mut reader);
    assert_eq!(models["a"].rejected_total, Some(3.0));
}
