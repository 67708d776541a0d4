//! Checks the files that a simulation writes.

use std::fs;
use std::path::Path;

use pushscale_simulator::InputError;

use super::options::SimulateOptions;

/// Checks before a run that its files can be written: it may take minutes.
pub(super) fn check(options: &SimulateOptions) -> Vec<InputError> {
    let mut errors = Vec::new();
    let mut add = |option: &str, problem: String| errors.push(input_error(option, problem));
    let outputs = [
        ("--json", options.json.as_deref(), false),
        ("--svg", options.svg.as_deref(), true),
        ("--save", options.save.as_deref(), true),
    ];
    let named = outputs
        .iter()
        .filter_map(|(option, file, one)| Some((*option, (*file)?, *one)))
        .filter(|(option, file, _)| !(*option == "--json" && file.as_os_str() == "-"));
    let mut written: Vec<&Path> = Vec::new();
    for (option, file, one) in named {
        let name = file.display();
        let directory = file
            .parent()
            .filter(|directory| *directory != Path::new(""));
        if file.is_dir() {
            add(option, format!("{name} is a directory"));
        } else if directory.is_some_and(|directory| !directory.is_dir()) {
            add(option, format!("{name}: the directory does not exist"));
        }
        if written.contains(&file) {
            add(option, format!("{name} is written twice"));
        }
        if is_read(file, options) {
            add(
                option,
                format!("{name} is an input and would be overwritten"),
            );
        }
        if one && options.scenarios.len() > 1 {
            add(option, "requires a single scenario".to_owned());
        }
        written.push(file);
    }
    errors
}

/// An error in an option or a file.
pub(super) fn input_error(location: &str, problem: impl Into<String>) -> InputError {
    InputError {
        location: location.to_owned(),
        problem: problem.into(),
    }
}

fn is_read(file: &Path, options: &SimulateOptions) -> bool {
    let Ok(file) = fs::canonicalize(file) else {
        return false;
    };
    let read = options.scenarios.iter().chain(&options.manifest);
    read.filter_map(|read| fs::canonicalize(read).ok())
        .any(|read| read == file)
}
