//! What the API server itself refuses, in words that name the field, and what it takes; and that both are known
//! without it.

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

fn manifests(folder: &str) -> Vec<Manifest> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/cluster")
        .join(folder);
    let mut files: Vec<_> = fs::read_dir(folder)
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
    /// What a comment among the first lines says after this word.
    fn comment(&self, word: &str) -> &str {
        self.text
            .lines()
            .find_map(|line| line.strip_prefix(word))
            .unwrap_or_else(|| panic!("{}: no line begins with {word:?}", self.file.display()))
    }

    /// Applies it as a user does, with kubectl's own checks. Returns what kubectl prints in this format, or its error.
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

    /// What kubectl says, without who says it of which file.
    fn without_prefix(&self, said: &str) -> String {
        let file = self.file.display();
        let mut said = said;
        for prefix in [
            "error: ".to_owned(),
            "Error from server (BadRequest): ".to_owned(),
            format!("error when creating \"{file}\": "),
            format!("unable to decode \"{file}\": "),
        ] {
            said = said.strip_prefix(prefix.as_str()).unwrap_or(said);
        }
        said.to_owned()
    }

    /// Why it is refused here.
    fn refused_here(&self) -> String {
        match manifest::read(&self.text) {
            Ok(_) => "nothing: it was taken".to_owned(),
            Err(error) => error.to_string(),
        }
    }
}

/// The API server tells mistakes in no particular order.
fn in_order(said: &str) -> Vec<&str> {
    let mut lines: Vec<_> = said.lines().map(str::trim_end).collect();
    lines.sort_unstable();
    lines
}

fn report(wrong: &[String]) {
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n\n"));
}

/// The first line of each file is a comment with what kubectl must say. Here the same must be said, to the letter.
#[test]
fn invalid_manifests_are_rejected_with_the_same_messages() {
    let namespace = Namespace::create(cluster(), "rejected");
    let mut wrong = Vec::new();
    for manifest in manifests("rejected") {
        let file = manifest.file.display();
        let said = match manifest.apply(&namespace, &[]) {
            Err(said) => said,
            Ok(_) => "nothing: it was taken".to_owned(),
        };
        let expected = manifest.comment("# ");
        if !said.contains(expected) {
            wrong.push(format!("{file}: kubectl says\n{said}\nand not\n{expected}"));
        }
        let here = manifest.refused_here();
        if in_order(&here) != in_order(&said) {
            wrong.push(format!(
                "{file}: kubectl says\n{said}\nand here is said\n{here}"
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
            .unwrap_or_else(|said| panic!("{file}: {said}"));
        let stored: Value = serde_json::from_str(&stored).unwrap();
        let here = manifest::read(&manifest.text).unwrap_or_else(|said| panic!("{file}: {said}"));
        let there = &stored["spec"];
        let here = serde_json::to_value(here.spec).unwrap();
        if here != *there {
            wrong.push(format!("{file}: stored is\n{there}\nand here\n{here}"));
        }
    }
    report(&wrong);
}

/// Where something is said here that kubectl does not say, the file tells both.
#[test]
fn known_differences_to_kubectl_stay_as_recorded() {
    let namespace = Namespace::create(cluster(), "otherwise");
    let mut wrong = Vec::new();
    for manifest in manifests("different-answers") {
        let file = manifest.file.display();
        let (Ok(there) | Err(there)) = manifest.apply(&namespace, &[]);
        let here = manifest.refused_here();
        for (who, said) in [("# here: ", &here), ("# kubectl: ", &there)] {
            let expected = manifest.comment(who);
            if !said.contains(expected) {
                wrong.push(format!(
                    "{file}: it is said\n{said}\nand not\n{who}{expected}"
                ));
            }
        }
        if in_order(&here) == in_order(&there) {
            wrong.push(format!("{file}: both say\n{here}\nIt belongs to rejected/"));
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
    // Absent stays absent: behavior {} is another thing.
    assert!(spec.get("behavior").is_none());
}
