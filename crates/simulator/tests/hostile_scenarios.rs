//! The scenarios in `scenarios/hostile`, which represent clusters that are hard to scale, under Pushscale.
//!
//! `testdata/hostile-bounds.txt` states what should hold in each. A bound with `!` is known to fail: the test fails
//! when the controller keeps it, so that the mark is removed.

#![cfg(test)]

#[path = "../../daemon/tests/support/golden.rs"]
mod golden;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use pushscale_simulator::cluster::{ClusterSpec, Outcome, simulate};
use pushscale_simulator::control::PushScaling;
use pushscale_simulator::in_parallel;
use pushscale_simulator::scenario::{Draft, Scenario};

const SEEDS: [u64; 2] = [1, 2];

/// What a scenario should keep with every seed.
struct Bound {
    most: f64,
    known_to_fail: bool,
}

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

fn scenarios() -> Vec<(String, Scenario)> {
    read("scenarios/hostile")
}

fn read(directory: &str) -> Vec<(String, Scenario)> {
    let files = golden::files(directory, "", 1);
    let read = |file: &PathBuf| {
        let mut draft = Draft::default();
        draft.add_file(file);
        let scenario = draft
            .finish(&[])
            .unwrap_or_else(|errors| panic!("{errors}"));
        (
            file.file_stem().unwrap().to_string_lossy().into_owned(),
            scenario,
        )
    };
    files.iter().map(read).collect()
}

/// Reads the bounds of the figures in [`figures`].
fn bounds() -> BTreeMap<String, [Bound; 3]> {
    let text = fs::read_to_string(directory().join("testdata/hostile-bounds.txt")).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let bound = |word: &str| Bound {
        most: word.trim_end_matches('!').parse().unwrap(),
        known_to_fail: word.ends_with('!'),
    };
    lines
        .map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let [name, largest, mean, bad] = words[..] else {
                panic!("{line:?} must be SCENARIO MAX/NEED MEAN/NEED BAD%");
            };
            (name.to_owned(), [bound(largest), bound(mean), bound(bad)])
        })
        .collect()
}

#[test]
fn every_hostile_scenario_keeps_its_bounds_or_is_known_not_to() {
    let (scenarios, bounds) = (scenarios(), bounds());
    let named: Vec<&String> = scenarios.iter().map(|(name, _)| name).collect();
    assert_eq!(named, bounds.keys().collect::<Vec<_>>());
    let outcomes = in_parallel(
        scenarios.len() * SEEDS.len(),
        &|job| {
            let spec = &scenarios[job / SEEDS.len()].1.cluster;
            let mut ours = PushScaling::of_cluster(spec).unwrap();
            let outcome = simulate(spec, &mut ours, SEEDS[job % SEEDS.len()]);
            assert_sane(spec, &outcome);
            outcome
        },
        &mut || {},
    );
    println!(
        "scenario need max max/need mean/need bad% violation-s p95/target 503s lost pod-hours node-hours starts changes reversals"
    );
    let mut wrong = Vec::new();
    for ((name, scenario), outcomes) in scenarios.iter().zip(outcomes.chunks(SEEDS.len())) {
        print(name, scenario.cluster.need(), &outcomes[0]);
        let need = f64::from(scenario.cluster.need());
        let found: Vec<_> = outcomes
            .iter()
            .map(|outcome| figures(outcome, need))
            .collect();
        for (index, bound) in bounds[name].iter().enumerate() {
            let what = FIGURES[index];
            let found = found.iter().map(|of| of[index]).fold(0.0, f64::max);
            let most = bound.most;
            match (found <= most, bound.known_to_fail) {
                (true, true) => wrong.push(format!(
                    "{name}: {what} is {found:.2}, within {most}: remove the mark in hostile-bounds.txt"
                )),
                (false, false) => {
                    wrong.push(format!("{name}: {what} is {found:.2}, at most {most} is allowed"));
                }
                _ => {}
            }
        }
    }
    wrong.extend(too_many_reversals(&outcomes));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The share of the size changes of all runs that may be taken back within ten seconds.
const MOST_REVERSED: f64 = 0.02;

fn too_many_reversals(outcomes: &[Outcome]) -> Option<String> {
    let changes: u32 = outcomes.iter().map(|outcome| outcome.changes).sum();
    let reversals: u32 = outcomes.iter().map(|outcome| outcome.reversals).sum();
    println!("{reversals} of {changes} changes are taken back within 10 s");
    (f64::from(reversals) > MOST_REVERSED * f64::from(changes))
        .then(|| format!("{reversals} of {changes} changes are taken back within 10 s"))
}

const FIGURES: [&str; 3] = ["largest size / need", "mean size / need", "bad %"];

fn figures(outcome: &Outcome, need: f64) -> [f64; 3] {
    let hours = outcome.seconds.len() as f64 / 3600.0;
    let mean = outcome.pod_hours / hours / need;
    [outcome.largest_over_need, mean, outcome.bad_percent]
}

fn print(name: &str, need: u32, of: &Outcome) {
    let [_, mean, _] = figures(of, f64::from(need));
    println!(
        "{name} {need} {} {:.1} {mean:.2} {:.2} {} {:.1} {} {} {:.1} {:.1} {} {} {}",
        of.largest,
        of.largest_over_need,
        of.bad_percent,
        of.violation_seconds,
        of.p95_over_target,
        of.rejected,
        of.lost,
        of.pod_hours,
        of.node_hours,
        of.starts,
        of.changes,
        of.reversals
    );
}

/// Checks what holds of every run.
fn assert_sane(spec: &ClusterSpec, outcome: &Outcome) {
    let accounted = outcome.completed + outcome.rejected + outcome.lost + outcome.in_system;
    assert_eq!(
        outcome.arrivals, accounted,
        "every request is accounted for"
    );
    assert!((0.0..=100.0).contains(&outcome.bad_percent));
    assert!(outcome.mean_wait >= 0.0 && outcome.p95_wait <= outcome.p99_wait);
    assert!(outcome.node_hours >= outcome.pod_hours - 1e-9);
    assert!(outcome.reversals <= outcome.changes);
    assert!(outcome.largest <= spec.goal.max.max(spec.pods));
    for second in &outcome.seconds {
        assert!((spec.goal.min..=spec.goal.max).contains(&second.desired));
        assert!(second.mean_wait.is_none_or(|wait| wait >= 0.0));
    }
    for change in &outcome.history {
        assert!(change.from != change.to && !change.why.is_empty());
    }
}

#[test]
fn scenarios_read_as_they_are_written() {
    for (name, scenario) in [scenarios(), read("scenarios/recurring")].concat() {
        let mut draft = Draft::default();
        draft.add_text("again.txt", &scenario.write(None), None);
        let again = draft
            .finish(&[])
            .unwrap_or_else(|errors| panic!("{name}: {errors}"));
        assert_eq!(again.cluster, scenario.cluster, "{name}");
    }
}

#[test]
fn the_same_seed_yields_the_same_outcome() {
    for (name, scenario) in scenarios().iter().take(3) {
        let run = || {
            simulate(
                &scenario.cluster,
                &mut PushScaling::of_cluster(&scenario.cluster).unwrap(),
                7,
            )
        };
        assert_eq!(run(), run(), "{name}");
    }
}
