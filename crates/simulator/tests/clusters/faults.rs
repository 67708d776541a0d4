//! Faults of single pods.

use pushscale_simulator::cluster::Outcome;

use super::run;

/// Four pods that are half busy.
fn with(fault: &str) -> Outcome {
    run(&format!(
        "load: flat:80\nseconds: 1200\nservice: 100ms\nworkers: 4\nqueue: 100\npods: 4\ntarget: 50ms\nstart-delay: 30s\nfail: {fault}\n"
    ))
}

fn ready(outcome: &Outcome, second: usize) -> u32 {
    outcome.seconds[second].ready
}

#[test]
fn unready_pods_get_no_requests_and_lose_none() {
    let outcome = with("unready 50%@300..600");
    assert_eq!(ready(&outcome, 299), 4);
    assert_eq!(ready(&outcome, 450), 2);
    assert_eq!(ready(&outcome, 700), 4);
    assert_eq!(outcome.lost, 0);
    assert_eq!(outcome.starts, 0, "unready pods are not replaced");
}

#[test]
fn pods_in_a_crash_loop_lose_their_requests_with_each_crash() {
    let outcome = with("crash-loop 1@300/20+80");
    let ready: Vec<u32> = [299, 350, 390, 450, 490]
        .map(|second| ready(&outcome, second))
        .into();
    assert_eq!(ready, [4, 3, 4, 3, 4]);
    assert!(outcome.lost > 4, "{}", outcome.lost);
    assert_eq!(outcome.starts, 0);
}

#[test]
fn crash_waves_restart_a_share_of_the_pods_each_time() {
    let outcome = with("crash-waves 50%@300/200+50");
    let ready: Vec<u32> = [299, 310, 360, 499, 510, 560, 710, 910]
        .map(|second| ready(&outcome, second))
        .into();
    assert_eq!(ready, [4, 2, 4, 4, 2, 4, 2, 2]);
    assert!(outcome.lost > 4, "{}", outcome.lost);
    assert_eq!(outcome.starts, 0);
}

#[test]
fn a_hanging_pod_fills_its_queue_and_continues() {
    let outcome = with("hang 1@300..400");
    assert!(outcome.rejected > 1000, "{}", outcome.rejected);
    assert!(outcome.seconds[300].mean_wait > Some(10.0));
    let waits = outcome.seconds[800..]
        .iter()
        .filter_map(|second| second.mean_wait);
    assert!(waits.fold(0.0, f64::max) < 1.0, "it recovers");
}

#[test]
fn a_slow_pod_is_slow_until_the_end_of_the_fault() {
    let outcome = with("slow 1@300..900x20");
    let violated = |from: usize, to: usize| {
        let seconds = outcome.seconds[from..to].iter();
        seconds.filter(|second| second.violated).count()
    };
    assert_eq!(violated(0, 300), 0);
    assert!(violated(400, 900) > 450);
    assert_eq!(violated(1000, 1200), 0);
}
