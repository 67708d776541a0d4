//! The manifests that the API server rejects, with messages that name the field, and those that it accepts. `pushscale`
//! gives the same answers without an API server.

use std::fs;
use std::path::{Path, PathBuf};

use pushscale_cli::manifest;
use pushscale_tests::namespace::Namespace;
use pushscale_tests::test_cluster::ClusterError;
use serde_json::Value;

use crate::cluster;

struct Manifest {
    file: PathBuf,
    text: String,
}

fn manifests(directory: &str) -> Vec<Manifest> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/cluster")
        .join(directory);
    let mut files: Vec<_> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    assert!(!files.is_empty());
    files
        .into_iter()
        .map(|file| Manifest {
            text: fs::read_to_string(&file).unwrap(),
            file,
        })
        .collect()
}

impl Manifest {
    /// Returns the rest of the comment line that starts with this word.
    fn comment(&self, word: &str) -> &str {
        self.text
            .lines()
            .find_map(|line| line.strip_prefix(word))
            .unwrap_or_else(|| panic!("{}: no line begins with {word:?}", self.file.display()))
    }

    /// Applies the manifest like a user, with kubectl's own checks. Returns kubectl's output in `format`, or its error.
    fn apply(&self, namespace: &Namespace, format: &[&str]) -> Result<String, String> {
        let file = self.file.to_str().unwrap();
        let apply = ["-n", &namespace.name, "apply", "-f", file];
        namespace
            .cluster
            .kubectl(&[&apply[..], format].concat())
            .map_err(|error| match error {
                ClusterError::Command { stderr, .. } => self.without_prefix(&stderr),
                other => panic!("{other}"),
            })
    }

    /// Removes kubectl's prefixes from an error.
    fn without_prefix(&self, answer: &str) -> String {
        let file = self.file.display();
        let mut answer = answer;
        for prefix in [
            "error: ".to_owned(),
            "Error from server (BadRequest): ".to_owned(),
            format!("error when creating \"{file}\": "),
            format!("unable to decode \"{file}\": "),
        ] {
            answer = answer.strip_prefix(prefix.as_str()).unwrap_or(answer);
        }
        answer.to_owned()
    }

    /// Returns the error of `pushscale`.
    fn local_error(&self) -> String {
        match manifest::read(&self.text) {
            Ok(_) => "accepted".to_owned(),
            Err(error) => error.to_string(),
        }
    }
}

/// Sorts lines, since the API server reports errors in random order.
fn sorted_lines(answer: &str) -> Vec<&str> {
    let mut lines: Vec<_> = answer.lines().map(str::trim_end).collect();
    lines.sort_unstable();
    lines
}

fn report(wrong: &[String]) {
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n\n"));
}

/// The first line of each file is a comment with a part of kubectl's error. `pushscale` must report exactly the same.
#[test]
fn invalid_manifests_are_rejected_with_the_same_messages() {
    let namespace = Namespace::create(cluster(), "rejected");
    let mut wrong = Vec::new();
    for manifest in manifests("rejected") {
        let file = manifest.file.display();
        let answer = match manifest.apply(&namespace, &[]) {
            Err(answer) => answer,
            Ok(_) => "accepted".to_owned(),
        };
        let expected = manifest.comment("# ");
        if !answer.contains(expected) {
            wrong.push(format!(
                "{file}: kubectl reports\n{answer}\ninstead of\n{expected}"
            ));
        }
        let here = manifest.local_error();
        if sorted_lines(&here) != sorted_lines(&answer) {
            wrong.push(format!(
                "{file}: kubectl reports\n{answer}\nand pushscale\n{here}"
            ));
        }
    }
    report(&wrong);
}

#[test]
fn valid_manifests_are_accepted_with_the_same_defaults() {
    let namespace = Namespace::create(cluster(), "accepted");
    let mut wrong = Vec::new();
    for manifest in manifests("accepted") {
        let file = manifest.file.display();
        // A later read may find nothing: the garbage collector deletes an object whose owner does not exist.
        let stored = manifest
            .apply(&namespace, &["-o=json"])
            .unwrap_or_else(|answer| panic!("{file}: {answer}"));
        let stored: Value = serde_json::from_str(&stored).unwrap();
        let here =
            manifest::read(&manifest.text).unwrap_or_else(|answer| panic!("{file}: {answer}"));
        let there = &stored["spec"];
        let here = serde_json::to_value(here.spec).unwrap();
        if here != *there {
            wrong.push(format!(
                "{file}: the API server stores\n{there}\nand pushscale\n{here}"
            ));
        }
    }
    report(&wrong);
}

/// The files contain both answers where `pushscale` reports something else than kubectl.
#[test]
fn known_differences_to_kubectl_stay_as_recorded() {
    let namespace = Namespace::create(cluster(), "differences");
    let mut wrong = Vec::new();
    for manifest in manifests("different-answers") {
        let file = manifest.file.display();
        let (Ok(there) | Err(there)) = manifest.apply(&namespace, &[]);
        let here = manifest.local_error();
        for (who, answer) in [("# here: ", &here), ("# kubectl: ", &there)] {
            let expected = manifest.comment(who);
            if !answer.contains(expected) {
                wrong.push(format!("{file}: {who}\n{answer}\ninstead of\n{expected}"));
            }
        }
        if sorted_lines(&here) == sorted_lines(&there) {
            wrong.push(format!("{file}: both report\n{here}\nMove it to rejected/"));
        }
    }
    report(&wrong);
}

#[test]
fn omitted_fields_get_their_defaults() {
    let namespace = Namespace::create(cluster(), "defaults");
    namespace.apply(
        "apiVersion: pushscale.dev/v1alpha1\nkind: PushScaler\n\
         metadata: { name: short, namespace: NAMESPACE }\nspec:\n  \
         scaleTargetRef: { apiVersion: apps/v1, kind: Deployment, name: torchserve }\n  \
         maxReplicas: 5\n  metrics: [ { type: QueueLatency, queueLatency: { target: 7ms } } ]\n",
    );
    let spec = &namespace.get("pushscaler", "short")["spec"];
    assert_eq!(spec["minReplicas"], 1);
    assert_eq!(spec["algorithm"], "Model");
    assert_eq!(spec["loadBalancing"], "Random");
    assert_eq!(spec["mode"], "Apply");
    assert_eq!(spec["metrics"][0]["queueLatency"]["aggregate"], "Mean");
    // An absent field stays absent: `behavior: {}` means something else.
    assert!(spec.get("behavior").is_none());
}
