//! Invalid input is rejected with errors that name the file, the line, and what is expected.
//!
//! `testdata/rejected-traces/<name>.csv` has its messages in `<name>.out`, and
//! `testdata/rejected-scenarios/<name>.txt` in its first lines, after `#!`. The files contain the beginnings of all
//! messages, in order.

#![cfg(test)]

#[path = "../../daemon/tests/support/golden.rs"]
mod golden;

use std::fs;
use std::path::Path;

use golden::files;
use pushscale_simulator::InputErrors;
use pushscale_simulator::scenario::Draft;
use pushscale_simulator::traffic::read_trace;

fn compare(file: &Path, error: &InputErrors, expected: &[&str]) {
    let name = file.display().to_string();
    let error = error.to_string();
    let error: Vec<&str> = error.lines().collect();
    assert_eq!(error.len(), expected.len(), "{name}: {error:#?}");
    for (error, expected) in error.iter().zip(expected) {
        // A message about a whole scenario names it without its directory.
        let text = error.strip_prefix(&format!("{name}:"));
        let stem = file.file_stem().unwrap().to_string_lossy();
        let text = text.or_else(|| error.strip_prefix(&format!("{stem}:")));
        let text = text.unwrap_or_else(|| panic!("{error} does not name the file"));
        assert!(
            text.trim_start().starts_with(expected),
            "{name}\n  found    {text}\n  expected {expected}"
        );
    }
}

#[test]
fn invalid_traces_are_rejected() {
    for file in files("testdata/rejected-traces", ".csv", 15) {
        let expected = fs::read_to_string(file.with_extension("out")).unwrap();
        let expected: Vec<&str> = expected.lines().collect();
        match read_trace(&file) {
            Ok(_) => panic!("{}: accepted", file.display()),
            Err(error) => compare(&file, &error, &expected),
        }
    }
}

#[test]
fn invalid_scenarios_are_rejected() {
    for file in files("testdata/rejected-scenarios", ".txt", 15) {
        let text = fs::read_to_string(&file).unwrap();
        let expected: Vec<&str> = text
            .lines()
            .filter_map(|line| line.strip_prefix("#! "))
            .collect();
        let mut draft = Draft::default();
        draft.add_file(&file);
        match draft.finish(&[]) {
            Ok(_) => panic!("{}: accepted", file.display()),
            Err(error) => compare(&file, &error, &expected),
        }
    }
}

#[test]
fn missing_files_are_named() {
    let error = read_trace(Path::new("no/such.csv"))
        .unwrap_err()
        .to_string();
    assert!(error.starts_with("no/such.csv: No such file"), "{error}");
    let mut draft = Draft::default();
    draft.add_file(Path::new("no/such.txt"));
    let error = draft.finish(&[]).unwrap_err().to_string();
    assert!(error.contains("no/such.txt: No such file"), "{error}");
}
