//! Pods before and after injection, as files: `testdata/<case>/before.yaml` and `after.yaml`.
//!
//! The first lines of `before.yaml` can be `#! namespace: …`, `#! container: …` (as from `--container`),
//! `#! native-sidecar: false` and `#! auth: none`. `PUSHSCALE_GENERATE=1` writes the `after.yaml` files.
#![cfg(test)]

mod support;

use std::fs;

use pushscale_injector::{Outcome, apply};
use serde_json::Value;
use support::{Case, cases, golden};

fn after(case: &Case) -> String {
    let mut pod = case.before.clone();
    let outcome = case.inject(&pod);
    apply(&outcome.changes(), &mut pod);
    let message = match &outcome {
        Outcome::Injected(injection) => injection.notes.iter().fold(
            format!("Injected; {}", injection.container),
            |message, note| format!("{message}; {}", note.message()),
        ),
        Outcome::Skipped(skip) => format!("Skipped; {}", skip.message()),
    };
    format!("# {message}\n{}", serde_saphyr::to_string(&pod).unwrap())
}

#[test]
fn injected_pods_match_the_files() {
    let mut wrong = Vec::new();
    for case in &cases() {
        let found = after(case);
        if !golden::matches(&case.directory.join("after.yaml"), &found) {
            wrong.push(format!("{}:\n{found}", case.name()));
        }
    }
    assert!(
        wrong.is_empty(),
        "different from the files:\n{}",
        wrong.join("\n")
    );
}

#[test]
fn every_reason_to_skip_has_a_case() {
    let mut reasons: Vec<_> = cases()
        .iter()
        .filter_map(|case| match case.inject(&case.before) {
            Outcome::Injected(_) => None,
            Outcome::Skipped(skip) => Some(skip.reason()),
        })
        .collect();
    reasons.sort_unstable();
    reasons.dedup();
    assert_eq!(reasons.len(), 16, "{reasons:?}");
}

#[test]
fn a_second_injection_changes_nothing() {
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

/// The API server applies the patch with its own implementation, which must produce the same pod.
#[test]
fn the_patch_produces_the_same_pod_and_contains_no_existing_container() {
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
fn every_case_has_both_files_and_no_others() {
    for case in cases() {
        let mut files: Vec<_> = fs::read_dir(&case.directory)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        files.sort();
        assert_eq!(files, ["after.yaml", "before.yaml"], "{}", case.name());
    }
}
