//! The distribution of the service times.

use super::run;

/// One busy worker of two, of which a request takes 100 ms on average.
fn p99_over_mean(more: &str) -> f64 {
    let outcome = run(&format!(
        "load: flat:10\nseconds: 7200\nworkers: 2\nqueue: 1000\npods: 1\ntarget: 50ms\n{more}\n"
    ));
    outcome.p99_wait / outcome.mean_wait
}

#[test]
fn a_heavy_tail_makes_few_requests_wait_for_long() {
    let lognormal = p99_over_mean("cv: 1");
    let pareto = p99_over_mean("pareto: 1.5 x1000");
    assert!(pareto > 2.0 * lognormal, "{pareto} and {lognormal}");
}

#[test]
fn long_requests_make_others_wait() {
    let wait = |more: &str| {
        let text = "load: flat:10\nseconds: 7200\nworkers: 2\nqueue: 1000\npods: 1\ntarget: 50ms\n";
        run(&format!("{text}{more}\n")).mean_wait
    };
    let (same, long) = (wait("cv: 0"), wait("cv: 0\nlong-requests: 1% x100"));
    assert!(long > 5.0 * same, "{long} and {same}");
}
