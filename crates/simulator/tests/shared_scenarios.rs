//! The scenarios in `scenarios` run.

#![cfg(test)]

#[path = "../../daemon/tests/support/golden.rs"]
mod golden;

use std::path::{Path, PathBuf};

use pushscale_simulator::cluster::simulate;
use pushscale_simulator::control::PushScaling;
use pushscale_simulator::scenario::{Draft, Scenario};
use pushscale_simulator::{InputErrors, in_parallel, traffic::Traffic};

const SEEDS: usize = 4;

fn read(file: &Path) -> Result<Scenario, InputErrors> {
    let mut draft = Draft::default();
    draft.add_file(file);
    draft.finish(&[])
}

fn files() -> Vec<PathBuf> {
    golden::files("scenarios", ".txt", 17)
}

#[test]
fn at_most_one_change_in_fifty_is_reversed_within_ten_seconds() {
    let scenarios: Vec<Scenario> = files()
        .iter()
        .map(|file| {
            let synthetic = file.with_file_name("synthetic");
            read(file).unwrap_or_else(|_| read(&synthetic.join(file.file_name().unwrap())).unwrap())
        })
        .collect();
    let counts = in_parallel(
        scenarios.len() * SEEDS,
        &|job| {
            let spec = &scenarios[job / SEEDS].cluster;
            let seed = 1 + (job % SEEDS) as u64;
            let outcome = simulate(spec, &mut PushScaling::of_cluster(spec).unwrap(), seed);
            (outcome.changes, outcome.reversals)
        },
        &mut || {},
    );
    let changes: u32 = counts.iter().map(|(changes, _)| changes).sum();
    let reversals: u32 = counts.iter().map(|(_, reversals)| reversals).sum();
    assert!(
        50 * reversals <= changes,
        "{reversals} of {changes} changes are reversed"
    );
}

#[test]
fn every_scenario_runs_or_has_a_synthetic_one_that_does() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let files = files();
    assert_eq!(files.len(), 17);
    let mut missing = Vec::new();
    for file in files {
        let name = file.file_name().unwrap().to_str().unwrap();
        if let Err(message) = read(&file) {
            let message = message.to_string();
            assert!(message.contains("trace ../traces/twitter_"), "{message}");
            let synthetic = read(&directory.join("synthetic").join(name)).unwrap();
            assert!(synthetic.name.starts_with("synthetic"));
            assert!(matches!(synthetic.cluster.traffic, Traffic::Rates(_)));
            missing.push(name.to_owned());
        }
    }
    missing.sort();
    assert_eq!(missing, ["twitter03.txt", "twitter09-lc.txt"]);
}

#[test]
fn a_random_scenario_depends_on_its_number_only() {
    let scenario = pushscale_simulator::scenario::random_scenario(7);
    assert_eq!(scenario, pushscale_simulator::scenario::random_scenario(7));
    let mut draft = Draft::default();
    draft.add_text("again.txt", &scenario.write(None), None);
    let again = draft.finish(&[]).unwrap();
    assert_eq!(again.cluster, scenario.cluster);
}
