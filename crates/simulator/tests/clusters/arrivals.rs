//! Bursts, outages and retries.

use super::run;

const SERVERS: &str =
    "seconds: 600\nservice: 100ms\ncv: 0\nworkers: 4\nqueue: 100\npods: 1\ntarget: 50ms\n";

#[test]
fn a_burst_arrives_at_once_and_again_after_each_interval() {
    let outcome = run(&format!("load: flat:0\nburst: 64@100/200, 8@50\n{SERVERS}"));
    let found: Vec<(usize, u32)> = outcome
        .seconds
        .iter()
        .enumerate()
        .map(|(second, of)| (second, of.arrivals))
        .filter(|(_, arrivals)| *arrivals > 0)
        .collect();
    assert_eq!(found, [(50, 8), (100, 64), (300, 64), (500, 64)]);
    // Sixteen batches of four workers, one after the other: the last four requests wait for 1.5 s.
    let longest = outcome.p99_wait;
    assert!((longest - 1.5).abs() < 0.01, "{longest} s");
}

#[test]
fn a_queue_holds_100_requests_unless_the_scenario_says_otherwise() {
    let text = SERVERS.replace("queue: 100\n", "");
    // Four requests are in workers.
    let outcome = run(&format!("load: flat:0\nburst: 400@100\n{text}"));
    assert_eq!((outcome.completed, outcome.rejected), (104, 296));
}

#[test]
fn nothing_arrives_during_an_outage() {
    let outcome = run(&format!(
        "load: flat:20\noutage: 100..200, 300..400 90%\n{SERVERS}"
    ));
    let arrivals = |from: usize, to: usize| -> u32 {
        let seconds = outcome.seconds[from..to].iter();
        seconds.map(|second| second.arrivals).sum()
    };
    assert_eq!(arrivals(100, 200), 0);
    let rate = f64::from(arrivals(300, 400)) / 100.0;
    assert!((rate - 2.0).abs() < 0.6, "{rate} per second");
    let rate = f64::from(arrivals(400, 600)) / 200.0;
    assert!((rate - 20.0).abs() < 1.0, "{rate} per second");
}

#[test]
fn rejected_requests_come_back() {
    // 400 requests in a queue of 100: the fourth and last attempt of the others is 7 s later.
    let load = format!("load: flat:0\nburst: 400@100\n{SERVERS}");
    let without = run(&load);
    assert_eq!((without.rejected, without.retries), (296, 0));
    let with = run(&format!("{load}retries: 3\n"));
    assert!(with.retries > 296, "{}", with.retries);
    assert!(with.rejected < 220, "{}", with.rejected);
    assert!(with.completed > 180, "{}", with.completed);
    // The time until the successful attempt is part of the wait.
    assert!(with.p99_wait > 7.0, "{}", with.p99_wait);
}

#[test]
fn requests_of_a_dead_pod_come_back() {
    let text = "load: flat:20\nseconds: 300\nservice: 2s\nworkers: 20\npods: 4\ntarget: 1s\nfail: die 1@100\nstart-delay: 10s\n";
    let without = run(text);
    assert!(without.lost > 0);
    let with = run(&format!("{text}retries: 1\n"));
    assert_eq!(with.lost, 0);
    assert!(with.retries >= without.lost);
}
