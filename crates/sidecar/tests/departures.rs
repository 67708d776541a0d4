//! TorchServe does not count how many requests left. What is worked out is held against what the captured servers
//! answered, scrape by scrape, and against what their clients saw in the end.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::cast_precision_loss,
    reason = "a test fails by panicking"
)]

mod stories;

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use pushscale_protocol::{Model, PortState};
use pushscale_sidecar::reading::{Reader, Reading};
use pushscale_sidecar::scrape::{Counters, Host, Page, Queue, Scrape};

use stories::{folder_of, play, scrapes};

/// A page and the description of the queue are some milliseconds apart, and a batch may end in between.
const JITTER: f64 = 1.5;

/// Stories, and the requests that are in workers' hands at the most.
const STORIES: [(&str, f64); 9] = [
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

fn near(found: Option<f64>, truth: f64, by: f64, what: &str) {
    let found = found.unwrap_or_else(|| panic!("{what}: not known"));
    assert!(
        (found - truth).abs() <= by,
        "{what}: {found}, and in truth {truth}"
    );
}

#[test]
fn answers_are_those_that_the_server_counted() {
    for (story, hands) in STORIES {
        let scrapes = scrapes(&folder_of(story), true);
        let host = |scrape: usize| scrapes[scrape].metrics.as_ref().unwrap().host;
        let moved = |scrape, of: fn(Host) -> Option<f64>| {
            of(host(scrape)).unwrap_or_default() - of(host(0)).unwrap_or_default()
        };
        for (scrape, reading) in play(&folder_of(story), true).iter().enumerate() {
            let model = &reading.models[0];
            let what = format!("{story} at {scrape} s");
            // The capturing script itself asked twice a second.
            let truth = moved(scrape, |host| host.succeeded) - 2.0 * scrape as f64;
            near(model.answered_total, truth, hands + JITTER, &what);
            let refused = moved(scrape, |host| host.failed);
            assert_eq!(model.refused_total, Some(refused), "{what}");
        }
    }
}

#[test]
fn in_the_end_they_are_those_that_the_clients_saw() {
    let more = [
        ("clients-give-up", 1.0),
        ("load-during-model-load-then-2-workers", 2.0),
    ];
    for (story, hands) in STORIES.into_iter().chain(more) {
        let clients = fs::read_to_string(folder_of(story).join("client.csv")).unwrap();
        // Whoever gave up had hung up: the server works its request off all the same.
        let served = |line: &&str| line.ends_with(",200") || line.ends_with(",timeout");
        let truth = clients.lines().filter(served).count() as f64;
        let readings = play(&folder_of(story), true);
        let answered = readings.last().unwrap().models[0].answered_total;
        // Beside the clients, the captures' author asked twice by hand while a queue was full.
        near(answered, truth, hands + 1.0, story);
    }
}

#[test]
fn grpc_and_requests_that_waited_for_the_model_leave_as_the_queue_shrinks() {
    for (story, hands) in [
        ("grpc-only", 1.0),
        ("load-during-model-load-then-2-workers", 2.0),
        ("clients-give-up", 1.0),
    ] {
        let readings = play(&folder_of(story), true);
        let first = readings[0].models[0].arrivals_total.unwrap_or_default();
        for reading in &readings {
            let model = &reading.models[0];
            let gone = model.arrivals_total.unwrap_or_default() - first - model.pending.unwrap();
            let what = format!("{story} at {:?}", reading.at);
            // One of those that are gone from the queue is in each worker's hands, or none.
            near(model.answered_total, gone - hands / 2.0, hands, &what);
        }
    }
}

#[test]
fn nobody_who_waits_in_a_new_server_has_been_answered() {
    // The server is found starting; when it is scraped at next, 19 requests wait for its model.
    let mut reader = Reader::default();
    let starting = Scrape {
        at: Duration::from_secs(1),
        metrics: Err(PortState::Refused),
        management: None,
    };
    reader.read(&starting);
    let scrapes = scrapes(&folder_of("load-during-model-load-then-2-workers"), true);
    for scrape in &scrapes[2..4] {
        let reading = reader.read(scrape);
        assert!(reading.models[0].pending >= Some(19.0), "{reading:?}");
        near(reading.models[0].answered_total, 0.0, 0.0, "all wait");
    }
    let readings: Vec<Reading> = scrapes[4..]
        .iter()
        .map(|scrape| reader.read(scrape))
        .collect();
    near(readings[4].models[0].answered_total, 40.0, 2.0, "all of it");
}

#[test]
fn a_restart_begins_all_counts_anew() {
    let full = scrapes(&folder_of("queue-full-q20-20rps-100ms"), true);
    let light = scrapes(&folder_of("light-2rps-100ms"), true);
    for seen_away in [true, false] {
        let mut reader = Reader::default();
        let before = full
            .iter()
            .map(|scrape| reader.read(scrape))
            .last()
            .unwrap();
        assert!(before.models[0].answered_total > Some(80.0), "{before:?}");
        let later = |scrape: &Scrape| Scrape {
            at: scrape.at + Duration::from_secs(20),
            ..scrape.clone()
        };
        if seen_away {
            reader.read(&Scrape {
                at: Duration::from_secs(19),
                metrics: Err(PortState::Refused),
                management: None,
            });
        }
        let mut after = light.iter().map(|scrape| reader.read(&later(scrape)));
        let first = after.next().unwrap();
        assert_eq!(first.counter_epoch, 1);
        assert_eq!(first.models[0].refused_total, Some(0.0));
        // The new process has had one request by then, and twelve more in the end.
        near(first.models[0].answered_total, 1.0, 1.0, "after a restart");
        let last = after.last().unwrap();
        near(last.models[0].answered_total, 13.0, 1.0, "in the end");
    }
}

#[test]
fn counts_go_down_only_with_a_restart() {
    let all = STORIES.iter().map(|(story, _)| *story);
    for story in all.chain(["clients-give-up", "grpc-only"]) {
        let readings = play(&folder_of(story), true);
        for pair in readings.windows(2) {
            let [then, now] = [&pair[0], &pair[1]].map(|reading| &reading.models[0]);
            assert_eq!(pair[1].counter_epoch, 0, "{story}");
            assert!(now.answered_total >= then.answered_total, "{story}");
            assert!(now.refused_total >= then.refused_total, "{story}");
            let there = now.pending.unwrap() + now.in_service.unwrap();
            assert!((0.0..=104.0).contains(&there), "{story}: {there} there");
        }
    }
}

#[test]
fn while_the_queue_is_not_told_answers_are_unknown_and_right_again_after_it() {
    let mut reader = Reader::default();
    let scrapes = scrapes(&folder_of("overload-20rps-100ms"), true);
    for (second, scrape) in scrapes.iter().enumerate() {
        let silent = (5..9).contains(&second);
        let scrape = Scrape {
            management: if silent {
                Some(Err(PortState::Frozen))
            } else {
                scrape.management.clone()
            },
            ..scrape.clone()
        };
        let model = reader.read(&scrape).models.remove(0);
        assert_eq!(model.answered_total.is_none(), silent, "{second} s");
        assert_eq!(model.in_service.is_none(), silent, "{second} s");
        if second == 9 {
            near(
                model.answered_total,
                81.0,
                1.0 + JITTER,
                "after the silence",
            );
        }
    }
    for reading in play(&folder_of("overload-20rps-100ms"), false) {
        assert_eq!(reading.models[0].answered_total, None, "metrics alone");
    }
}

/// A server of the models `a` and `b`, each of one worker, by hand.
struct Server {
    second: u64,
    failed: f64,
    models: BTreeMap<&'static str, (Counters, Queue)>,
}

impl Server {
    fn new(models: &[&'static str], places: f64) -> Self {
        let queue = Queue {
            capacity_left: places,
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
            models: models
                .iter()
                .map(|name| (*name, (counters, queue)))
                .collect(),
        }
    }

    /// In the next second so many arrive, wait in the end, and are served of 100 ms each.
    fn model(&mut self, name: &str, arrived: f64, pending: f64, served: f64) {
        let (counters, queue) = self.models.get_mut(name).unwrap();
        let places = queue.pending + queue.capacity_left;
        counters.arrivals = counters.arrivals.map(|count| count + arrived);
        counters.sojourn_seconds = counters.sojourn_seconds.map(|sum| sum + served * 0.1);
        queue.pending = pending;
        queue.capacity_left = places - pending;
    }

    fn scrape(&mut self, reader: &mut Reader) -> BTreeMap<String, Model<'static>> {
        let of = |(name, (counters, _)): (&&str, &(Counters, Queue))| (name.to_string(), *counters);
        let scrape = Scrape {
            at: Duration::from_secs(self.second),
            metrics: Ok(Page {
                models: self.models.iter().map(of).collect(),
                host: Host {
                    failed: Some(self.failed),
                    ..Host::default()
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

#[test]
fn of_two_models_the_one_with_the_full_queue_turned_them_away() {
    let mut reader = Reader::default();
    let mut server = Server::new(&["full", "idle"], 20.0);
    server.scrape(&mut reader);
    // 30 a second at 10 a second, 20 places: from the second second on 20 are turned away. The scrape finds the queue
    // between two batches now and then.
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
        let answered = 9.0 + 10.0 * f64::from(second);
        near(models["full"].answered_total, answered, 2.0, "full");
        near(models["full"].refused_total, rejected, 0.1, "full");
        let answered = 4.0 + 4.0 * f64::from(second);
        near(models["idle"].answered_total, answered, 2.0, "idle");
        near(models["idle"].refused_total, 0.0, 0.1, "idle");
    }
}

#[test]
fn of_two_full_models_each_turned_away_what_it_could_not_take() {
    let mut reader = Reader::default();
    let mut server = Server::new(&["a", "b"], 20.0);
    server.scrape(&mut reader);
    // One second to fill both queues and to measure both services.
    server.model("a", 30.0, 20.0, 10.0);
    server.model("b", 30.0, 20.0, 10.0);
    server.scrape(&mut reader);
    for second in 1..=30 {
        server.model("a", 12.0, 20.0, 10.0);
        server.model("b", 40.0, 20.0, 10.0);
        server.failed += 2.0 + 30.0;
        let models = server.scrape(&mut reader);
        let answered = 10.0 + 10.0 * f64::from(second);
        near(models["a"].answered_total, answered, 3.0, "a");
        near(models["b"].answered_total, answered, 3.0, "b");
        near(
            models["b"].refused_total,
            30.0 * f64::from(second),
            3.0,
            "b",
        );
    }
}

#[test]
fn a_request_that_fails_long_after_it_came_was_not_answered() {
    let mut reader = Reader::default();
    let mut server = Server::new(&["a"], 100.0);
    server.scrape(&mut reader);
    for second in 1..=30 {
        // One request every ten seconds, and each fails five seconds later: nothing else happens then.
        let arrives = if second % 10 == 1 { 1.0 } else { 0.0 };
        server.model("a", arrives, 0.0, 0.0);
        server.failed += if second % 10 == 6 { 1.0 } else { 0.0 };
        let models = server.scrape(&mut reader);
        near(models["a"].answered_total, 0.0, 1.0, "a");
    }
    let models = server.scrape(&mut reader);
    assert_eq!(models["a"].refused_total, Some(3.0));
}
