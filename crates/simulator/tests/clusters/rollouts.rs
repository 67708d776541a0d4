//! Rollouts.

use pushscale_simulator::cluster::Outcome;

use super::{run, spec};

/// Eight pods that are a quarter busy.
fn with(rollouts: &str) -> Outcome {
    run(&format!(
        "load: flat:80\nseconds: 1200\nservice: 100ms\nworkers: 4\npods: 8\ntarget: 50ms\nstart-delay: 30s\nrollout: {rollouts}\n"
    ))
}

#[test]
fn a_rollout_replaces_all_pods_a_quarter_at_a_time_and_loses_no_request() {
    let outcome = with("300, 600");
    assert_eq!(outcome.starts, 16);
    assert_eq!(outcome.rejected + outcome.lost, 0);
    let ready = outcome.seconds.iter().map(|second| second.ready);
    assert_eq!((ready.clone().min(), ready.max()), (Some(6), Some(8)));
    for second in [299, 599, 1199] {
        assert_eq!(outcome.seconds[second].ready, 8, "second {second}");
    }
}

#[test]
fn the_new_version_may_be_slower() {
    let wait = |outcome: &Outcome| {
        let seconds = outcome.seconds[600..].iter();
        let waits: Vec<f64> = seconds.filter_map(|second| second.mean_wait).collect();
        waits.iter().sum::<f64>() / waits.len() as f64
    };
    let (same, slower) = (wait(&with("300")), wait(&with("300x3")));
    assert!(slower > 10.0 * same, "{slower} and {same}");
}

#[test]
fn the_need_is_that_of_the_slowest_version() {
    let need = |rollouts: &str| {
        spec(&format!(
            "load: flat:80\nseconds: 1200\ntarget: 50ms\nrollout: {rollouts}\n"
        ))
        .need()
    };
    assert_eq!(need("300x0.5"), need("300"));
    assert!(need("600x0.5, 300x4") > 3 * need("300"));
}
