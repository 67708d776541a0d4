//! Pods before and after injection, as files: `testdata/<case>/before.yaml` and `after.yaml`.
//!
//! Lines at the beginning of `before.yaml` may say `#! namespace: …`, `#! native-sidecar: false`, `#! trust: none`.
//! `PUSHSCALE_GENERATE=1` writes what comes out.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod support;

use std::fs;
use std::path::Path;

use pushscale_injector::{Outcome, apply};
use serde_json::Value;
use support::{Case, cases};

fn after(case: &Case) -> String {
    let mut pod = case.before.clone();
    let outcome = case.inject(&pod);
    apply(&outcome.changes(), &mut pod);
    let said = match &outcome {
        Outcome::Injected(injection) => injection
            .notes
            .iter()
            .fold("Injected".to_owned(), |said, note| {
                format!("{said}; {}", note.told())
            }),
        Outcome::Skipped(skip) => format!("Skipped; {}", skip.told()),
    };
    format!("# {said}\n{}", serde_saphyr::to_string(&pod).unwrap())
}

#[test]
fn pods_become_what_the_files_say() {
    let generate = std::env::var_os("PUSHSCALE_GENERATE").is_some();
    let mut wrong = Vec::new();
    let cases = cases();
    assert!(cases.len() >= 24, "only {} cases were found", cases.len());
    for case in &cases {
        let found = after(case);
        let file = case.folder.join("after.yaml");
        if generate {
            fs::write(&file, &found).unwrap();
        }
        if fs::read_to_string(&file).unwrap_or_default() != found {
            wrong.push(format!("{}:\n{found}", case.name()));
        }
    }
    assert!(
        wrong.is_empty(),
        "otherwise than in the files:\n{}",
        wrong.join("\n")
    );
}

/// Every reason that there is, is some file's.
#[test]
fn every_reason_has_a_file() {
    let mut reasons: Vec<_> = cases()
        .iter()
        .filter_map(|case| match case.inject(&case.before) {
            Outcome::Injected(_) => None,
            Outcome::Skipped(skip) => Some(skip.reason()),
        })
        .collect();
    reasons.sort_unstable();
    reasons.dedup();
    assert_eq!(reasons.len(), 15, "{reasons:?}");
}

#[test]
fn what_is_injected_once_is_not_injected_again() {
    for case in cases() {
        let mut pod = case.before.clone();
        let first = case.inject(&pod);
        apply(&first.changes(), &mut pod);
        let once = pod.clone();
        let second = case.inject(&pod);
        let patch = apply(&second.changes(), &mut pod);
        assert_eq!(pod, once, "{}", case.name());
        assert!(patch.is_empty(), "{}: {patch:?}", case.name());
        if let Outcome::Injected(_) = first {
            assert!(
                matches!(&second, Outcome::Skipped(skip) if skip.reason() == "AlreadyInjected"),
                "{}: {second:?}",
                case.name()
            );
        }
    }
}

/// The patch is what the API server applies: it must do the same as we do, by another's hand.
#[test]
fn the_patch_makes_the_same_pod_and_names_no_container_that_was_there() {
    for case in cases() {
        let mut pod = case.before.clone();
        let patch = apply(&case.inject(&pod).changes(), &mut pod);
        let mut patched = case.before.clone();
        json_patch::patch(&mut patched, &patch).unwrap();
        assert_eq!(patched, pod, "{}", case.name());
        let text = serde_json::to_string(&patch).unwrap();
        for name in names(&case.before) {
            assert!(
                name == "pushscale-sidecar" || !text.contains(&format!("\"name\":\"{name}\"")),
                "{}: {text}",
                case.name()
            );
        }
    }
}

fn names(pod: &Value) -> Vec<String> {
    pod["spec"]["containers"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|container| container["name"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn every_case_has_both_files_and_nothing_else() {
    for case in cases() {
        let mut files: Vec<_> = fs::read_dir(&case.folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        files.sort();
        assert_eq!(files, ["after.yaml", "before.yaml"], "{}", case.name());
        assert!(Path::new(&case.folder).is_dir());
    }
}
