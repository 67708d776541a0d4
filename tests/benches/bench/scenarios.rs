//! The sets of scenarios that the benchmarks of decisions run.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use pushscale_simulator::scenario::{Draft, Scenario, random_scenario};
use pushscale_tests::scenarios::{held_out_scenario, random_hostile_scenario};

use crate::environment::number;

/// A scenario and the name of its file.
pub(crate) type NamedScenario = (String, Scenario);

/// Returns the number of the first random scenario: `FROM`, or a different one in each run.
pub(crate) fn first_random() -> u64 {
    number("FROM").unwrap_or_else(|| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        now.as_secs()
    })
}

/// Returns `count` random scenarios, with consecutive numbers, and saves each as a file in `directory`.
pub(crate) fn random(from: u64, count: u64, directory: Option<&Path>) -> Vec<NamedScenario> {
    numbered(from, count, directory, random_scenario)
}

/// The same for the held-out families.
pub(crate) fn held_out(from: u64, count: u64, directory: Option<&Path>) -> Vec<NamedScenario> {
    numbered(from, count, directory, held_out_scenario)
}

/// The same for clusters that are hard to scale.
pub(crate) fn random_hostile(
    from: u64,
    count: u64,
    directory: Option<&Path>,
) -> Vec<NamedScenario> {
    numbered(from, count, directory, |seed| {
        let text = random_hostile_scenario(seed);
        let mut draft = Draft::default();
        draft.add_text("a random scenario", &text, None);
        let scenario = draft.finish(&[]);
        scenario.unwrap_or_else(|errors| panic!("{errors}\n{text}"))
    })
}

fn numbered(
    from: u64,
    count: u64,
    directory: Option<&Path>,
    scenario: impl Fn(u64) -> Scenario,
) -> Vec<NamedScenario> {
    let one = |seed| {
        let scenario = scenario(seed);
        if let Some(directory) = directory {
            let file = directory.join(format!("{seed}.txt"));
            let written = fs::write(&file, scenario.write(None));
            written.unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        }
        (scenario.name.clone(), scenario)
    };
    (from..from + count).map(one).collect()
}

/// Returns the shared scenarios. If a trace is not available, its substitute takes its place.
pub(crate) fn shared() -> Vec<NamedScenario> {
    let directory = directory();
    let traces = env::var_os("PUSHSCALE_TRACES").unwrap_or_default();
    let traces: Vec<PathBuf> = env::split_paths(&traces).collect();
    let read = |file: &Path| {
        let mut draft = Draft::default();
        draft.add_file(file);
        draft.finish(&traces)
    };
    let named = files(&directory).into_iter().map(|file| {
        let name = stem(&file);
        read(&file).map_or_else(
            |missing| {
                let synthetic = directory.join("synthetic").join(file.file_name().unwrap());
                let scenario = read(&synthetic);
                let scenario = scenario.unwrap_or_else(|_| panic!("{missing}"));
                (format!("{name}, synthetic"), scenario)
            },
            |scenario| (name.clone(), scenario),
        )
    });
    named.collect()
}

/// Returns the scenarios of clusters that are hard to scale.
pub(crate) fn hostile() -> Vec<NamedScenario> {
    with_keys(&directory().join("hostile"), &[])
}

/// Returns the scenarios of loads that recur, and of one that does not.
pub(crate) fn recurring() -> Vec<NamedScenario> {
    with_keys(&directory().join("recurring"), &[])
}

/// Returns the scenarios in a directory, with the values of some keys replaced.
pub(crate) fn with_keys(directory: &Path, keys: &[(&str, &str)]) -> Vec<NamedScenario> {
    let read = |file: &PathBuf| {
        let mut draft = Draft::default();
        draft.add_file(file);
        for (key, value) in keys {
            draft.set("the benchmark", key, value);
        }
        let scenario = draft.finish(&[]);
        (
            stem(file),
            scenario.unwrap_or_else(|errors| panic!("{errors}")),
        )
    };
    files(directory).iter().map(read).collect()
}

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/simulator/scenarios")
}

/// Returns the scenario files in a directory, sorted.
fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory);
    let entries = entries.unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    let mut files: Vec<PathBuf> = entries
        .map(|entry| entry.unwrap().path())
        .filter(|file| file.extension().is_some_and(|extension| extension == "txt"))
        .collect();
    files.sort();
    files
}

fn stem(file: &Path) -> String {
    file.file_stem().unwrap().to_string_lossy().into_owned()
}
