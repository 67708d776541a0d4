//! Reads the manifests that `tests/tests/cluster` applies to a real API server.

use std::fs;

use pushscale_cli::manifest;

use crate::golden;

/// Returns the names and texts of the files in a directory.
fn manifests(directory: &str) -> Vec<(String, String)> {
    let directory = format!("../../tests/tests/cluster/{directory}");
    golden::files(&directory, "", 1)
        .iter()
        .map(|file| {
            (
                file.display().to_string(),
                fs::read_to_string(file).unwrap(),
            )
        })
        .collect()
}

/// Asserts that all files of a directory are rejected with the text of their comment that starts with `prefix`.
fn assert_rejected(directory: &str, prefix: &str) {
    for (file, text) in manifests(directory) {
        let expected = text
            .lines()
            .find_map(|line| line.strip_prefix(prefix))
            .unwrap_or_else(|| panic!("{file}: no line starts with {prefix:?}"));
        match manifest::read(&text) {
            Ok(_) => panic!("{file}: accepted"),
            Err(error) => assert!(
                error.to_string().contains(expected),
                "{file}:\n  found    {error}\n  expected {expected}"
            ),
        }
    }
}

#[test]
fn invalid_manifests_are_rejected_with_the_field() {
    assert_rejected("rejected", "# ");
}

#[test]
fn other_texts_are_rejected_with_the_line() {
    assert_rejected("different-answers", "# here: ");
}

#[test]
fn valid_manifests_are_accepted() {
    for (file, text) in manifests("accepted") {
        if let Err(error) = manifest::read(&text) {
            panic!("{file}: {error}");
        }
    }
}

#[test]
fn absent_fields_have_their_defaults() {
    let (_, text) = manifests("accepted")
        .into_iter()
        .find(|(file, _)| file.ends_with("published-target.yaml"))
        .unwrap();
    let spec = manifest::read(&text).unwrap().spec;
    assert_eq!(spec.min_replicas, 1);
    assert!(spec.behavior.unwrap().scale_up.is_none());
}
