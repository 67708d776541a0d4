//! The scenarios in `scenarios` run.

#![cfg(test)]

use std::fs;
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
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let entries = fs::read_dir(&directory).unwrap();
    let mut files: Vec<PathBuf> = entries
        .map(|entry| entry.unwrap().path())
        .filter(|file| file.extension().is_some_and(|extension| extension == "txt"))
        .collect();
    files.sort();
    files
}

#[test]
fn at_most_one_change_in_fifty_is_reversed_within_ten_seconds() {
    let scenarios: Vec<Scenario> = files()
        .iter()
        .map(|file| {
            let stand_ins = file.with_file_name("stand-ins");
            read(file).unwrap_or_else(|_| read(&stand_ins.join(file.file_name().unwrap())).unwrap())
        })
        .collect();
    let counts = in_parallel(
        scenarios.len() * SEEDS,
        &|job| {
            let world = &scenarios[job / SEEDS].world;
            let seed = 1 + (job % SEEDS) as u64;
            let outcome = simulate(world, &mut PushScaling::of_world(world).unwrap(), seed);
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
fn every_scenario_runs_or_has_a_stand_in_that_does() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let files = files();
    assert_eq!(files.len(), 17);
    let mut missing = Vec::new();
    for file in files {
        let name = file.file_name().unwrap().to_str().unwrap();
        if let Err(message) = read(&file) {
            let message = message.to_string();
            assert!(message.contains("trace ../traces/twitter_"), "{message}");
            let stand_in = read(&directory.join("stand-ins").join(name)).unwrap();
            assert!(stand_in.name.starts_with("synthetic"));
            assert!(matches!(stand_in.world.traffic, Traffic::Rates(_)));
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
    assert_eq!(again.world, scenario.world);
}
