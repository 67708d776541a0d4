//! The files that it writes.

use std::fs;
use std::io;
use std::path::Path;

use pushscale_simulator::Mistake;

use super::options::SimulateOptions;
use super::request::{Request, add};
use super::run::Played;
use super::seeds;

/// Before anything runs: what cannot be written is known now, and not after minutes.
pub(super) fn check(options: &SimulateOptions, mistakes: &mut Vec<Mistake>) {
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
        let folder = file.parent().filter(|folder| *folder != Path::new(""));
        if file.is_dir() {
            add(mistakes, option, format!("{name} is a folder"));
        } else if folder.is_some_and(|folder| !folder.is_dir()) {
            add(mistakes, option, format!("{name}: there is no such folder"));
        }
        if written.contains(&file) {
            add(mistakes, option, format!("{name} is written twice"));
        }
        if is_read(file, options) {
            let problem = format!("{name} is read here: it would be lost");
            add(mistakes, option, problem);
        }
        if one && options.scenarios.len() > 1 {
            let problem = "it is of one scenario, and several are given";
            add(mistakes, option, problem);
        }
        written.push(file);
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

/// The error names the file.
pub(super) fn write(file: &Path, text: &str) -> io::Result<()> {
    fs::write(file, text).map_err(|error| {
        let words = format!("failed to write {}: {error}", file.display());
        io::Error::other(words)
    })
}

/// The scenario as it was run, as a file that can be run again.
pub(super) fn saved(file: &Path, request: &Request, played: &Played<'_>) -> String {
    let folder = file
        .parent()
        .filter(|folder| *folder != Path::new(""))
        .unwrap_or_else(|| Path::new("."));
    format!(
        "# Written by pushscale simulate --save, with all that was assumed ({}).\n{}",
        seeds::name(&request.seeds),
        played.scenario.write(Some(folder))
    )
}
