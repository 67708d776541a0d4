//! Load balancers and connections.

use super::run;

fn mean_wait(more: &str) -> f64 {
    let outcome = run(&format!(
        "load: flat:70\nseconds: 1200\nservice: 100ms\nworkers: 1\nqueue: 1000\npods: 10\ntarget: 50ms\n{more}"
    ));
    outcome.mean_wait
}

#[test]
fn several_balancers_know_less_than_one() {
    let random = mean_wait("balancing: random");
    let one = mean_wait("balancing: least-outstanding");
    let three = mean_wait("balancing: least-outstanding\nbalancers: 3");
    let many = mean_wait("balancing: least-outstanding\nbalancers: 500");
    assert!(
        one < three && three < many && many < random,
        "{one} {three} {many} {random}"
    );
}

#[test]
fn two_choices_wait_longer_than_one_queue_and_shorter_than_random() {
    let random = mean_wait("balancing: random");
    let two = mean_wait("balancing: two-choices");
    let one = mean_wait("balancing: least-outstanding");
    assert!(one < two && two < random, "{one} {two} {random}");
}

#[test]
fn few_connections_load_pods_unevenly() {
    let uneven = mean_wait("connections: 20");
    assert!(uneven > 3.0 * mean_wait("balancing: random"), "{uneven} s");
}

#[test]
fn new_pods_get_no_requests_of_old_connections() {
    // One of two pods dies. Its connections go to the other one, and its replacement stays idle.
    let text = "load: flat:30\nseconds: 1200\nservice: 100ms\ncv: 0\nworkers: 2\nqueue: 100\npods: 2\ntarget: 50ms\nfail: die 1@300\nstart-delay: 10s\n";
    let sticky = run(&format!("{text}connections: 50\n"));
    assert!(sticky.rejected > 5000, "{}", sticky.rejected);
    let free = run(text);
    assert!(free.rejected < 100, "{}", free.rejected);
}

#[test]
fn workers_that_share_a_device_are_slower_together() {
    let text =
        "seconds: 600\nservice: 100ms\ncv: 0\nworkers: 4\nqueue: 100\npods: 1\ntarget: 50ms\n";
    // Four busy workers take 250 ms each: 16 requests per second instead of 40.
    let outcome = run(&format!("load: flat:60\ncontention: 0.5\n{text}"));
    let rate = outcome.completed as f64 / 600.0;
    assert!((rate - 16.0).abs() < 0.5, "{rate} per second");
}
