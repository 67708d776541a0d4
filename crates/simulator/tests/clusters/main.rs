//! The simulated clusters themselves, under a constant number of pods: each scenario key has the effect that it names.

#![cfg(test)]

mod arrivals;
mod balancing;
mod batching;
mod clients;
mod deletion;
mod faults;
mod grpc;
mod rollouts;
mod scrapes;
mod service_times;
mod sidecars;
mod starts;

use pushscale_simulator::cluster::{ClusterSpec, Outcome, simulate};
use pushscale_simulator::control::Fixed;
use pushscale_simulator::scenario::Draft;

/// Returns the cluster of a scenario's text.
fn spec(text: &str) -> ClusterSpec {
    let mut draft = Draft::default();
    draft.add_text("cluster.txt", text, None);
    draft.finish(&[]).unwrap().cluster
}

/// Runs a scenario's text with its initial pods, and checks that every request is accounted for.
fn run(text: &str) -> Outcome {
    let spec = spec(text);
    let outcome = simulate(&spec, &mut Fixed::new(spec.pods), 1);
    assert_conserved(&outcome);
    outcome
}

/// Each request is completed, rejected, lost, or in the cluster at the end.
fn assert_conserved(outcome: &Outcome) {
    let accounted = outcome.completed + outcome.rejected + outcome.lost + outcome.in_system;
    assert_eq!(outcome.arrivals, accounted);
}

#[test]
fn requests_are_judged_by_the_objective_if_there_is_one() {
    let text = "load: flat:90\nseconds: 600\nworkers: 1\npods: 12\ntarget: 10ms\n";
    let strict = run(text);
    let loose = run(&format!("{text}objective: 1s\n"));
    assert!(strict.bad_percent > 50.0, "{}", strict.bad_percent);
    assert!(loose.bad_percent < 1.0, "{}", loose.bad_percent);
    assert!((loose.p95_over_target - loose.p95_wait).abs() < 1e-9);
}
