//! Batches.

use super::run;

/// A worker that needs 30 ms, and 10 ms per further request of a batch of 8, serves at most 80 requests per second.
const BATCHES: &str = "seconds: 600
service: 30ms
cv: 0
workers: 1
batch: 8
batch-growth: 10ms
batch-delay: 20ms
queue: 100
pods: 1
target: 50ms
";

#[test]
fn full_batches_give_the_capacity() {
    let outcome = run(&format!("load: flat:200\n{BATCHES}"));
    let rate = outcome.completed as f64 / 600.0;
    assert!((rate - 80.0).abs() < 1.0, "{rate} requests per second");
    assert!(outcome.rejected > 0);
}

#[test]
fn without_batches_the_same_worker_serves_fewer_requests() {
    let outcome = run(
        "load: flat:200\nseconds: 600\nservice: 30ms\ncv: 0\nworkers: 1\nqueue: 100\npods: 1\ntarget: 50ms",
    );
    let rate = outcome.completed as f64 / 600.0;
    assert!((rate - 33.3).abs() < 0.5, "{rate} requests per second");
}

#[test]
fn a_single_request_waits_for_the_batch_delay() {
    let outcome = run(&format!("load: flat:0.1\n{BATCHES}"));
    assert!((outcome.mean_wait - 0.02).abs() < 0.002, "{outcome:?}");
}

#[test]
fn without_a_batch_delay_a_single_request_does_not_wait() {
    let text = BATCHES.replace("20ms", "0s");
    let outcome = run(&format!("load: flat:0.1\n{text}"));
    assert!(outcome.mean_wait < 0.001, "{outcome:?}");
}
