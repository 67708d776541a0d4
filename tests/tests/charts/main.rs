//! The charts: generated files are up to date, every value has an effect, invalid values are rejected by name, and a
//! real API server accepts the manifests.

#![cfg(test)]

mod accepted;
mod generated;
mod injected;
mod keys;
mod permissions;
mod rejected;
mod replicas;
mod start_script;
mod suites;
mod versions;

use std::fs;
use std::path::{Path, PathBuf};

use pushscale_tests::charts::{CHARTS, directory};
use pushscale_tests::programs::repository;

/// Returns the data files of a test for a chart, in order.
fn cases(of: &str, chart: &str) -> Vec<PathBuf> {
    let directory = repository().join("tests/tests/charts").join(of).join(chart);
    let mut files: Vec<_> = fs::read_dir(&directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    assert!(!files.is_empty(), "no case in {}", directory.display());
    files
}

/// Returns the words after `# mark:` in the first lines of a data file.
fn marked<'a>(text: &'a str, mark: &str) -> Vec<&'a str> {
    text.lines()
        .take_while(|line| line.starts_with('#'))
        .filter_map(|line| {
            line.strip_prefix("# ")?
                .strip_prefix(mark)?
                .strip_prefix(": ")
        })
        .collect()
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
