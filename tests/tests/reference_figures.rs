//! Compares the simulation with the reference simulation: the same controllers in the same scenarios have the same
//! figures, within the spread of the seeds.
//!
//! `reference/figures.csv` has the figures of the reference; `reference/record.py` recorded them.

#![cfg(test)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use pushscale_simulator::cluster::{ClusterSpec, simulate};
use pushscale_simulator::in_parallel;
use pushscale_simulator::scenario::Draft;
use pushscale_tests::reference_model;

/// The scenarios that take seconds. The others take minutes.
const QUICK: [&str; 6] = ["step", "step-lc", "spike60", "svc2x", "tight-w1", "azcode"];

const SEEDS: std::ops::RangeInclusive<u64> = 1..=8;

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

/// Violation seconds and pod-hours of each seed, by scenario and controller.
type Figures = BTreeMap<(String, String), Vec<[f64; 2]>>;

fn recorded() -> Figures {
    let text = fs::read_to_string(directory().join("tests/reference/figures.csv")).unwrap();
    let mut figures = Figures::new();
    let lines = text.lines().filter(|line| !line.starts_with('#')).skip(1);
    for line in lines {
        let words: Vec<&str> = line.split(',').collect();
        let key = (words[0].to_owned(), words[1].to_owned());
        let number = |index: usize| words[index].parse().unwrap();
        figures.entry(key).or_default().push([number(3), number(4)]);
    }
    figures
}

fn spec(scenario: &str) -> ClusterSpec {
    let mut draft = Draft::default();
    draft.add_file(&directory().join(format!("../crates/simulator/scenarios/{scenario}.txt")));
    draft
        .finish(&[])
        .unwrap_or_else(|all| panic!("{all}"))
        .cluster
}

#[test]
fn figures_are_within_the_spread_of_the_reference() {
    let figures = recorded();
    in_parallel(
        QUICK.len(),
        &|job| {
            let scenario = QUICK[job];
            let here = figures.iter().filter(|((name, _), _)| name == scenario);
            let here: Vec<_> = here.collect();
            assert_eq!(here.len(), 6, "{scenario}");
            let spec = spec(scenario);
            for ((_, controller), recorded) in here {
                compare(scenario, &spec, controller, recorded);
            }
        },
        &mut || {},
    );
}

fn compare(scenario: &str, spec: &ClusterSpec, controller: &str, recorded: &[[f64; 2]]) {
    let ours: Vec<[f64; 2]> = SEEDS
        .map(|seed| {
            let mut controller = reference_model::controller(controller, spec);
            let outcome = simulate(spec, controller.as_mut(), seed);
            [f64::from(outcome.violation_seconds), outcome.pod_hours]
        })
        .collect();
    for (index, what) in ["violation seconds", "pod-hours"].into_iter().enumerate() {
        let (mean, error) = mean_and_error(&ours, index);
        let (expected, other_error) = mean_and_error(recorded, index);
        // Three standard errors, and 1% for scenarios in which all seeds give the same figure.
        let allowed = 3.0 * error.hypot(other_error) + 0.01 * expected;
        assert!(
            (mean - expected).abs() <= allowed,
            "{scenario}, {controller}: {mean:.1} {what}, expected {expected:.1} ± {allowed:.1}"
        );
    }
}

fn mean_and_error(runs: &[[f64; 2]], index: usize) -> (f64, f64) {
    let count = runs.len() as f64;
    let mean = runs.iter().map(|run| run[index]).sum::<f64>() / count;
    let squares = runs.iter().map(|run| (run[index] - mean).powi(2));
    let error = (squares.sum::<f64>() / (count - 1.0) / count).sqrt();
    (mean, error)
}
