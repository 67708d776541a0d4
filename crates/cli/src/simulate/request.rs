//! From options and files to what is to be run, or to all mistakes at once.

use std::env;
use std::path::{Path, PathBuf};

use pushscale_simulator::scenario::{Draft, Scenario};
use pushscale_simulator::{Mistake, Mistakes};

use super::contender::{self, Contender};
use super::options::SimulateOptions;
use super::{outputs, seeds};

/// Folders of traces stand here, as programs stand in `PATH`.
const TRACES: &str = "PUSHSCALE_TRACES";

/// What is to be run: each contender in each scenario with each seed.
pub(super) struct Request {
    pub(super) scenarios: Vec<Scenario>,
    pub(super) contenders: Vec<Contender>,
    pub(super) seeds: Vec<u64>,
}

impl Request {
    /// What the options ask for.
    ///
    /// # Errors
    /// All mistakes in them and in the files that they name.
    pub(super) fn of(options: &SimulateOptions) -> Result<Self, Mistakes> {
        let mut mistakes = Vec::new();
        let seeds = match options.seed {
            Some(seed) => vec![seed],
            None => seeds::parse(&options.seeds).unwrap_or_else(|problem| {
                add(&mut mistakes, "--seeds", problem);
                Vec::new()
            }),
        };
        let contenders = contenders(options, &mut mistakes);
        let ours = contenders.first();
        let drafts = drafts(options, ours, &mut mistakes);
        let folders = folders(options);
        let mut scenarios = Vec::new();
        for draft in drafts {
            match draft.finish(&folders) {
                Ok(scenario) => scenarios.push(scenario),
                Err(more) => {
                    // What is wrong in an option is wrong in every scenario: said once.
                    for mistake in more.0 {
                        if !mistakes.contains(&mistake) {
                            mistakes.push(mistake);
                        }
                    }
                }
            }
        }
        for contender in &contenders {
            let refused = scenarios
                .iter()
                .find_map(|scenario| contender.controller(scenario).err());
            if let Some(problem) = refused {
                add(&mut mistakes, &contender.name, problem);
            }
        }
        outputs::check(options, &mut mistakes);
        if mistakes.is_empty() {
            Ok(Self {
                scenarios,
                contenders,
                seeds,
            })
        } else {
            Err(Mistakes(mistakes))
        }
    }
}

pub(super) fn add(mistakes: &mut Vec<Mistake>, place: &str, problem: impl Into<String>) {
    mistakes.push(Mistake {
        place: place.to_owned(),
        problem: problem.into(),
    });
}

/// Ours first, unless it is no PushScaler.
fn contenders(options: &SimulateOptions, mistakes: &mut Vec<Mistake>) -> Vec<Contender> {
    let mut contenders: Vec<Contender> = Vec::new();
    match options.manifest.as_deref().map(named_manifest) {
        None => contenders.push(Contender::plain()),
        Some(Ok(contender)) => contenders.push(contender),
        Some(Err(mistake)) => mistakes.push(mistake),
    }
    for word in options
        .compare
        .iter()
        .flat_map(|text| contender::words(text))
    {
        match Contender::of_word(&word) {
            Ok(contender) if contenders.iter().any(|known| known.name == contender.name) => {
                add(mistakes, "--compare", format!("{word} is given twice"));
            }
            Ok(contender) => contenders.push(contender),
            Err(problem) if contender::names_file(&word) => add(mistakes, &word, problem),
            Err(problem) => add(mistakes, "--compare", problem),
        }
    }
    contenders
}

fn named_manifest(file: &Path) -> Result<Contender, Mistake> {
    Contender::of_manifest(file).map_err(|problem| Mistake {
        place: file.display().to_string(),
        problem,
    })
}

/// A draft for each scenario file, or one if there is none.
fn drafts(
    options: &SimulateOptions,
    ours: Option<&Contender>,
    mistakes: &mut Vec<Mistake>,
) -> Vec<Draft> {
    let given = |key: &str| options.keys.0.iter().any(|(given, _)| *given == key);
    if given("load") && given("trace") {
        add(mistakes, "--load, --trace", "a load or a trace, not both");
    }
    let files: Vec<Option<&PathBuf>> = match options.scenarios.as_slice() {
        [] => vec![None],
        files => files.iter().map(Some).collect(),
    };
    let draft = |file: &Option<&PathBuf>| {
        let mut draft = Draft::default();
        if let Some(ours) = ours {
            for (key, value) in ours.keys() {
                draft.set(&ours.name, key, &value);
            }
        }
        if let Some(file) = file {
            draft.add_file(file);
        }
        for (key, value) in &options.keys.0 {
            draft.set(&format!("--{key}"), key, value);
        }
        draft
    };
    files.iter().map(draft).collect()
}

fn folders(options: &SimulateOptions) -> Vec<PathBuf> {
    let more = env::var_os(TRACES).unwrap_or_default();
    let more = env::split_paths(&more).filter(|folder| !folder.as_os_str().is_empty());
    options.traces.iter().cloned().chain(more).collect()
}
