//! What the API server itself refuses, in words that name the field; and what it takes.

use std::fs;
use std::path::{Path, PathBuf};

use pushscale_tests::cluster::Namespace;

use crate::rig;

fn manifests(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/cluster")
        .join(folder);
    let mut found: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    found.sort();
    assert!(!found.is_empty());
    found
}

/// The first line of each file is a comment with what kubectl must say.
#[test]
fn bad_manifests_are_refused_in_words_that_name_the_field() {
    let namespace = Namespace::create(rig(), "refused");
    let mut wrong = Vec::new();
    for file in manifests("refused") {
        let text = fs::read_to_string(&file).unwrap();
        let expected = text.lines().next().unwrap().trim_start_matches("# ");
        // As a user applies it, with kubectl's own checks.
        let path = file.to_str().unwrap();
        let said = namespace
            .rig
            .kubectl(&["-n", "refused", "apply", "-f", path])
            .err()
            .map_or("nothing: it was taken".to_owned(), |error| {
                error.to_string()
            });
        if !said.contains(expected) {
            wrong.push(format!(
                "{}:\n  says {said}\n  not  {expected}",
                file.display()
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn good_manifests_are_taken() {
    let namespace = Namespace::create(rig(), "accepted");
    for file in manifests("accepted") {
        namespace.kubectl(&["apply", "-f", file.to_str().unwrap()]);
    }
}

#[test]
fn defaults_are_those_of_the_hpa() {
    let namespace = Namespace::create(rig(), "defaults");
    namespace.apply(
        "apiVersion: pushscale.dev/v1alpha1\nkind: PushScaler\n\
         metadata: { name: short, namespace: NAMESPACE }\nspec:\n  \
         scaleTargetRef: { apiVersion: apps/v1, kind: Deployment, name: torchserve }\n  \
         maxReplicas: 5\n  metrics: [ { type: QueueLatency, queueLatency: { target: 7ms } } ]\n",
    );
    let spec = &namespace.get("pushscaler", "short")["spec"];
    assert_eq!(spec["minReplicas"], 1);
    assert_eq!(spec["algorithm"], "Ratio");
    // Absent stays absent: behavior {} is another thing.
    assert!(spec.get("behavior").is_none());
}
