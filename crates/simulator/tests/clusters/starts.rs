//! Start delays.

use pushscale_simulator::cluster::{Outcome, View, simulate};
use pushscale_simulator::control::Controller;

use super::spec;

/// Starts a pod every 10 s, from one to ten.
struct OneByOne;

impl Controller for OneByOne {
    fn decide(&mut self, view: &View<'_>) -> Option<u32> {
        let size = 1 + u32::try_from(view.second / 10).unwrap_or(u32::MAX);
        Some(size.min(10))
    }
}

/// The seconds in which pods become ready, with their numbers.
fn ready_at(outcome: &Outcome) -> Vec<(usize, u32)> {
    let seconds = outcome.seconds.windows(2).enumerate();
    let grows = seconds.filter(|(_, pair)| pair[1].ready > pair[0].ready);
    grows
        .map(|(second, pair)| (second + 2, pair[1].ready - pair[0].ready))
        .collect()
}

fn starts(more: &str) -> Vec<(usize, u32)> {
    let spec = spec(&format!(
        "load: flat:1\nseconds: 400\npods: 1\ntarget: 50ms\n{more}"
    ));
    ready_at(&simulate(&spec, &mut OneByOne, 1))
}

#[test]
fn pods_of_a_round_become_ready_together() {
    // Rounds begin at 10 s, 40 s and 70 s.
    let found = starts("start-delay: 100s\nstart-round: 25s");
    let numbers: Vec<u32> = found.iter().map(|(_, pods)| *pods).collect();
    assert_eq!(numbers, [3, 3, 3]);
    let gap = found[1].0 - found[0].0;
    assert_eq!(gap, 30);
}

#[test]
fn without_rounds_each_pod_has_its_own_delay() {
    let found = starts("start-delay: 100s");
    assert_eq!(found.len(), 9);
}

/// Returns the mean wait of the requests of these seconds. Nine pods join the first one from 100 s to 180 s.
fn wait_between(warm_up: &str, from: usize, to: usize) -> f64 {
    let spec = spec(&format!(
        "load: flat:20\nseconds: 700\nservice: 100ms\ncv: 0\nworkers: 4\npods: 1\nqueue: 1000\ntarget: 50ms\n\
         start-delay: 90s\nwarm-up: {warm_up}\n"
    ));
    let outcome = simulate(&spec, &mut OneByOne, 1);
    let waits = outcome.seconds[from..to].iter();
    let waits: Vec<f64> = waits.filter_map(|second| second.mean_wait).collect();
    waits.iter().sum::<f64>() / waits.len() as f64
}

#[test]
fn new_pods_are_slow_until_they_are_warm_and_the_first_ones_are_warm() {
    // A pod with a tenth of the load is overloaded at 30 times the service time.
    assert!(wait_between("200s x30", 0, 90) < 0.02);
    assert!(wait_between("200s x30", 250, 290) > 1.0);
    assert!(wait_between("0s x30", 250, 290) < 0.02);
    assert!(wait_between("200s x30", 600, 700) < 0.02);
}
