//! The manifests that `tests/tests/cluster` applies to a real API server, read without one.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::fs;
use std::path::Path;

use pushscale_cli::manifest;

/// The file's name, its text.
fn manifests(folder: &str) -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../tests/tests/cluster")
        .join(folder);
    let found: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|file| {
            (
                file.display().to_string(),
                fs::read_to_string(file).unwrap(),
            )
        })
        .collect();
    assert!(!found.is_empty());
    found
}

/// All files of a folder are refused with what a comment says after this word.
fn are_refused(folder: &str, word: &str) {
    for (file, text) in manifests(folder) {
        let expected = text
            .lines()
            .find_map(|line| line.strip_prefix(word))
            .unwrap_or_else(|| panic!("{file}: no line begins with {word:?}"));
        match manifest::read(&text) {
            Ok(_) => panic!("{file}: it was taken"),
            Err(said) => assert!(
                said.to_string().contains(expected),
                "{file}:\n  says {said}\n  not  {expected}"
            ),
        }
    }
}

#[test]
fn bad_manifests_are_refused_in_words_that_name_the_field() {
    are_refused("rejected", "# ");
}

#[test]
fn what_is_no_manifest_is_refused_in_words_that_name_the_line() {
    are_refused("different-answers", "# here: ");
}

#[test]
fn good_manifests_are_taken() {
    for (file, text) in manifests("accepted") {
        if let Err(said) = manifest::read(&text) {
            panic!("{file}: {said}");
        }
    }
}

#[test]
fn what_is_absent_has_its_default() {
    let (_, text) = manifests("accepted")
        .into_iter()
        .find(|(file, _)| file.ends_with("published-target.yaml"))
        .unwrap();
    let spec = manifest::read(&text).unwrap().spec;
    assert_eq!(spec.min_replicas, 1);
    assert!(spec.behavior.unwrap().scale_up.is_none());
}
