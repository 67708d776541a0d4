//! The allowed dependencies between crates. A rule that is not checked does not last.

#![cfg(test)]

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use pushscale_tests::programs::repository;

/// Returns the names of all crates that a crate is built from, with its own.
fn built_from(package: &str, kinds: &str) -> BTreeSet<String> {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--locked", "--prefix", "none", "--format", "{p}"])
        .args(["-p", package, "-e", kinds])
        .current_dir(repository())
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let names: BTreeSet<_> = text
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .map(str::to_owned)
        .collect();
    assert!(names.contains(package), "{text}");
    names
}

/// Asserts that a crate is built without these.
fn assert_independent(package: &str, forbidden: &[&str]) {
    let all = built_from(package, "normal,build");
    for forbidden in forbidden {
        assert!(
            !all.contains(*forbidden),
            "{package} is built from {forbidden}"
        );
    }
}

#[test]
fn the_decision_crate_depends_on_the_standard_library_only() {
    let all = built_from("pushscale-decision", "normal,build,dev");
    assert_eq!(all, BTreeSet::from(["pushscale-decision".to_owned()]));
}

#[test]
fn the_protocol_crate_depends_on_serde_and_no_other_pushscale_crate() {
    let all = built_from("pushscale-protocol", "normal,build");
    let ours: Vec<_> = all
        .iter()
        .filter(|name| name.starts_with("pushscale-"))
        .collect();
    assert_eq!(ours, ["pushscale-protocol"]);
    assert_independent("pushscale-protocol", &["tokio", "hyper", "kube"]);
}

#[test]
fn the_sidecar_does_not_depend_on_kubernetes_or_the_decision_crate() {
    assert_independent(
        "pushscale-sidecar",
        &[
            "kube",
            "kube-client",
            "kube-core",
            "k8s-openapi",
            "pushscale-api",
            "pushscale-aggregator",
            "pushscale-decision",
            "pushscale-kubernetes",
        ],
    );
}

#[test]
fn the_aggregator_does_not_know_torchserve() {
    assert_independent(
        "pushscale-aggregator",
        &[
            "pushscale-sidecar",
            "pushscale-simulator",
            "pushscale-testkit",
        ],
    );
}

#[test]
fn the_aggregator_issues_no_certificates() {
    assert_independent("pushscale-aggregator", &["pushscale-certificates", "rcgen"]);
}

#[test]
fn certificates_depend_on_neither_decision_nor_aggregator() {
    assert_independent(
        "pushscale-certificates",
        &[
            "pushscale-aggregator",
            "pushscale-api",
            "pushscale-decision",
        ],
    );
}

#[test]
fn the_reading_crate_depends_on_the_protocol_only() {
    let all = built_from("pushscale-reading", "normal,build");
    let protocol = built_from("pushscale-protocol", "normal,build");
    let added: Vec<_> = all.difference(&protocol).collect();
    assert_eq!(added, ["pushscale-reading"]);
}

#[test]
fn the_simulator_is_pure_and_independent_of_the_testkit() {
    assert_independent(
        "pushscale-simulator",
        &[
            "hyper",
            "mio",
            "rustix",
            "tokio",
            "pushscale-cli",
            "pushscale-testkit",
        ],
    );
    assert_independent(
        "pushscale-testkit",
        &["pushscale-cli", "pushscale-decision", "pushscale-simulator"],
    );
}

#[test]
fn the_injector_does_not_depend_on_scaling() {
    assert_independent(
        "pushscale-injector",
        &["pushscale-aggregator", "pushscale-cli", "pushscale-sidecar"],
    );
}

#[test]
fn the_aggregator_does_not_link_the_crd_validation() {
    assert_independent(
        "pushscale-aggregator",
        &["kube-cel", "cel", "pushscale-cli"],
    );
}

/// Returns the packages of a lock file, each with its versions.
fn locked(file: &str) -> BTreeMap<String, BTreeSet<String>> {
    let text = std::fs::read_to_string(repository().join(file)).unwrap();
    let mut found = BTreeMap::<_, BTreeSet<_>>::new();
    let mut name = "";
    for line in text.lines() {
        let value = |key: &str| line.strip_prefix(key)?.strip_suffix('"');
        if let Some(value) = value("name = \"") {
            name = value;
        } else if let Some(version) = value("version = \"") {
            let versions = found.entry(name.to_owned()).or_default();
            versions.insert(version.to_owned());
        }
    }
    found
}

#[test]
fn the_fuzz_targets_are_built_with_the_versions_of_the_programs() {
    let programs = locked("Cargo.lock");
    let fuzzed = locked("tests/fuzz/Cargo.lock");
    let mut same = 0;
    for (name, versions) in &fuzzed {
        let Some(ours) = programs.get(name) else {
            continue;
        };
        assert!(
            versions.is_subset(ours),
            "{name} is {ours:?}, and {versions:?} in tests/fuzz: \
             `cp Cargo.lock tests/fuzz && cargo metadata --manifest-path tests/fuzz/Cargo.toml >/dev/null`"
        );
        same += 1;
    }
    assert!(same > 100, "only {same} packages are compared");
}

#[test]
fn only_the_sidecars_profile_knows_torchserves_metric_names() {
    let crates = repository().join("crates");
    let profile = crates.join("sidecar/src/torchserve");
    let mut directories = vec![crates.clone()];
    let mut read = 0;
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                // The emulated TorchServe needs its metric names. The external metrics have the name of the published
                // setup.
                let own = path == profile
                    || path == crates.join("testkit")
                    || path == crates.join("external-metrics");
                let code = !path.ends_with("testdata") && !path.ends_with("target");
                if !own && code {
                    directories.push(path);
                }
                continue;
            }
            if path.extension().is_none_or(|extension| extension != "rs") {
                continue;
            }
            // Tests refer to the contents of captures.
            let text = std::fs::read_to_string(&path).unwrap();
            let code = text.split("#[cfg(test)]").next().unwrap();
            read += 1;
            for name in [
                "ts_queue_latency",
                "ts_inference_",
                "QueueTime",
                "PredictionTime",
            ] {
                let in_test = path.components().any(|part| part.as_os_str() == "tests");
                assert!(
                    in_test || !code.contains(name),
                    "{} names {name}, which belongs to sidecar/src/torchserve",
                    path.display()
                );
            }
        }
    }
    assert!(read > 100, "only {read} files were found");
}
