//! Builds the simulations from options and files, and reports all errors at once.

use std::env;
use std::path::{Path, PathBuf};

use pushscale_simulator::scenario::{Draft, Scenario, Sweep};
use pushscale_simulator::{InputError, InputErrors};

use super::candidate::{self, Candidate};
use super::options::SimulateOptions;
use super::outputs::{self, input_error};
use super::record::Record;
use super::seeds;

/// The environment variable with directories of traces, in the format of `PATH`.
const TRACES: &str = "PUSHSCALE_TRACES";

/// The simulations: each candidate in each scenario with each seed.
pub(super) struct Request {
    pub(super) scenarios: Vec<Scenario>,
    pub(super) candidates: Vec<Candidate>,
    pub(super) seeds: Vec<u64>,
    /// Each scenario has one of its values.
    pub(super) sweep: Option<Sweep>,
    /// What the reader of the results must know about the recorded load.
    pub(super) notes: Vec<String>,
}

impl Request {
    /// Builds the simulations.
    ///
    /// # Errors
    ///
    /// Returns all errors in the options and in the files that they name.
    pub(super) fn new(
        options: &SimulateOptions,
        record: Option<&Record>,
    ) -> Result<Self, InputErrors> {
        let mut errors = Vec::new();
        let seeds = match options.seed {
            Some(seed) => vec![seed],
            None => seeds::parse(&options.seeds).unwrap_or_else(|problem| {
                errors.push(input_error("--seeds", problem));
                Vec::new()
            }),
        };
        let candidates = candidates(options, record, &mut errors);
        let ours = candidates.first();
        let mut drafts = drafts(options, ours, record, &mut errors);
        let sweep = sweep(options, &mut drafts, &mut errors);
        let directories = trace_directories(options);
        let mut scenarios = Vec::new();
        for draft in drafts {
            match draft.finish(&directories) {
                Ok(scenario) => scenarios.push(scenario),
                Err(more) => {
                    // An error in an option occurs in every scenario, and is reported once.
                    for error in more.0 {
                        if !errors.contains(&error) {
                            errors.push(error);
                        }
                    }
                }
            }
        }
        for candidate in &candidates {
            let rejected = scenarios
                .iter()
                .find_map(|scenario| candidate.controller(scenario).err());
            if let Some(problem) = rejected {
                errors.push(input_error(&candidate.name, problem));
            }
        }
        if options.record.is_incomplete() {
            let problem = "required to read a load from a cluster, and not given";
            errors.push(input_error("--from", problem));
        }
        errors.extend(outputs::check(options));
        if errors.is_empty() {
            Ok(Self {
                scenarios,
                candidates,
                seeds,
                sweep,
                notes: record.map(Record::notes).unwrap_or_default(),
            })
        } else {
            Err(InputErrors(errors))
        }
    }
}

/// Returns the PushScaler first, unless it is invalid, and then those to compare with.
fn candidates(
    options: &SimulateOptions,
    record: Option<&Record>,
    errors: &mut Vec<InputError>,
) -> Vec<Candidate> {
    let mut candidates: Vec<Candidate> = Vec::new();
    match options.manifest.as_deref().map(named_manifest) {
        None if record.is_none() => candidates.push(Candidate::plain()),
        None => {}
        Some(Ok(candidate)) => candidates.push(candidate),
        Some(Err(error)) => errors.push(error),
    }
    // The one in the cluster is what a manifest is compared with.
    candidates.extend(record.map(|record| Candidate::of_spec(&record.name, &record.spec)));
    for word in options
        .compare
        .iter()
        .flat_map(|text| candidate::split(text))
    {
        match Candidate::parse(&word) {
            Ok(candidate) if candidates.iter().any(|known| known.name == candidate.name) => {
                errors.push(input_error("--compare", format!("{word} occurs twice")));
            }
            Ok(candidate) => candidates.push(candidate),
            Err(problem) if candidate::is_file(&word) => errors.push(input_error(&word, problem)),
            Err(problem) => errors.push(input_error("--compare", problem)),
        }
    }
    candidates
}

fn named_manifest(file: &Path) -> Result<Candidate, InputError> {
    Candidate::from_manifest(file)
        .map_err(|problem| input_error(&file.display().to_string(), problem))
}

/// Returns a draft for each scenario file, or one without a file.
fn drafts(
    options: &SimulateOptions,
    ours: Option<&Candidate>,
    record: Option<&Record>,
    errors: &mut Vec<InputError>,
) -> Vec<Draft> {
    let given = |key: &str| options.keys.0.iter().any(|(given, _)| *given == key);
    if given("load") && given("trace") {
        errors.push(input_error("--load, --trace", "mutually exclusive"));
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
        if let Some(record) = record {
            record.fill(&mut draft);
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

/// Replaces the draft by one for each value of the sweep, if there is one.
fn sweep(
    options: &SimulateOptions,
    drafts: &mut Vec<Draft>,
    errors: &mut Vec<InputError>,
) -> Option<Sweep> {
    let sweep = match options.sweep.as_deref()?.parse::<Sweep>() {
        Ok(sweep) => sweep,
        Err(problem) => {
            errors.push(input_error("--sweep", problem));
            return None;
        }
    };
    let [draft] = drafts.as_slice() else {
        errors.push(input_error("--sweep", "requires a single scenario"));
        return None;
    };
    if ["target", candidate::PRICE].contains(&sweep.key.as_str()) && options.manifest.is_some() {
        let problem = format!(
            "the PushScaler's {} comes from -f: sweep another key, or omit -f",
            sweep.key
        );
        errors.push(input_error("--sweep", problem));
    }
    let with = |value: &String| {
        let mut draft = draft.clone();
        // Another target does not change what a good wait is.
        if let (true, None, Some(target)) = (
            sweep.key == "target",
            draft.get("objective"),
            draft.get("target").map(str::to_owned),
        ) {
            draft.set("--sweep", "objective", &target);
        }
        draft.set("--sweep", &sweep.key, value);
        draft
    };
    *drafts = sweep.values.iter().map(with).collect();
    Some(sweep)
}

fn trace_directories(options: &SimulateOptions) -> Vec<PathBuf> {
    let more = env::var_os(TRACES).unwrap_or_default();
    let more = env::split_paths(&more).filter(|directory| !directory.as_os_str().is_empty());
    options.traces.iter().cloned().chain(more).collect()
}
