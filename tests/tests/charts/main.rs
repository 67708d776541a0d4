//! The charts: what is generated is current, every key does something, what is wrong is refused by its name, what is right is
//! taken by a real API server, and all of it comes and goes without a trace.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod accepted;
mod generated;
mod injected;
mod keys;
mod life;
mod refused;
mod start_script;
mod suites;
mod versions;

use std::fs;
use std::path::{Path, PathBuf};

use pushscale_tests::charts::{CHARTS, folder};
use pushscale_tests::programs::repository;

/// The data files of a test for a chart, in order.
fn cases(of: &str, chart: &str) -> Vec<PathBuf> {
    let folder = repository().join("tests/tests/charts").join(of).join(chart);
    let mut files: Vec<_> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    assert!(!files.is_empty(), "no case in {}", folder.display());
    files
}

/// The words behind `# mark:` in the first lines of a data file.
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
