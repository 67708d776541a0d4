//! The API server enforces the permissions of the aggregator's account on pods and PushScalers: by RBAC, and by the
//! admission policies of the manifest.

use std::fs;
use std::time::{Duration, Instant};

use pushscale_tests::namespace::{Namespace, TIMEOUT};
use pushscale_tests::test_cluster::ClusterError;
use serde_json::{Value, json};

use crate::cluster;

const ACCOUNT: &str = "--as=system:serviceaccount:pushscale:pushscale-aggregator";
const COST: &str = "controller.kubernetes.io/pod-deletion-cost";

/// Patches a pod as this user. Returns the API server's error if it is rejected.
fn patch(namespace: &Namespace<'_>, by: &[&str], pod: &str, patch: &Value) -> Result<(), String> {
    let object = format!("pod/{pod}");
    patch_object(namespace, by, (&object, "strategic"), patch)
}

fn patch_object(
    namespace: &Namespace<'_>,
    by: &[&str],
    (object, kind): (&str, &str),
    patch: &Value,
) -> Result<(), String> {
    let file = namespace
        .cluster
        .logs_dir()
        .join(format!("{}-patch.json", namespace.name));
    fs::write(&file, patch.to_string()).unwrap();
    let file = format!("--patch-file={}", file.display());
    let namespace_is = format!("--namespace={}", namespace.name);
    let kind = format!("--type={kind}");
    let command = [&namespace_is, "patch", object, &kind, &file];
    match namespace.cluster.kubectl(&[&command[..], by].concat()) {
        Ok(_) => Ok(()),
        Err(ClusterError::Command { stderr, .. }) => Err(stderr),
        Err(other) => panic!("{other}"),
    }
}

fn annotate(annotations: Value) -> Value {
    json!({ "metadata": { "annotations": annotations } })
}

#[tokio::test]
async fn the_aggregator_may_set_the_deletion_cost_of_a_pod_and_nothing_else() {
    let namespace = Namespace::create(cluster(), "rights");
    namespace.deploy("Deployment", 1).await;
    let pod = namespace.run_pods(1).await.swap_remove(0).name;
    patch(&namespace, &[], &pod, &annotate(json!({ "theirs": "1" }))).unwrap();
    // kubectl reads a pod before it patches it. The aggregator does not, and may not.
    let role = "--clusterrole=view";
    let account = "--serviceaccount=pushscale:pushscale-aggregator";
    namespace.kubectl(&["create", "rolebinding", "kubectl", role, account]);

    let mut tolerations = namespace.get("pod", &pod)["spec"]["tolerations"].take();
    let more = json!({ "key": "other", "operator": "Exists" });
    tolerations.as_array_mut().unwrap().push(more);
    let image = json!({ "spec": { "containers": [{ "name": "torchserve", "image": "other" }] } });
    // Every other change that the API server allows on a running pod.
    let others = [
        ("image", image),
        (
            "deadline",
            json!({ "spec": { "activeDeadlineSeconds": 1 } }),
        ),
        (
            "toleration",
            json!({ "spec": { "tolerations": tolerations } }),
        ),
        (
            "label",
            json!({ "metadata": { "labels": { "app": "other" } } }),
        ),
        (
            "no labels",
            json!({ "metadata": { "labels": Value::Null } }),
        ),
        (
            "finalizer",
            json!({ "metadata": { "finalizers": ["pushscale.dev/stays"] } }),
        ),
        (
            "owner",
            json!({ "metadata": { "ownerReferences": Value::Null } }),
        ),
        ("new annotation", annotate(json!({ "ours": "1" }))),
        ("changed annotation", annotate(json!({ "theirs": "2" }))),
        (
            "removed annotation",
            annotate(json!({ "theirs": Value::Null })),
        ),
        (
            "two at once",
            annotate(json!({ COST: "-1000", "ours": "1" })),
        ),
    ];
    // The API server applies a policy a moment after its creation.
    let dry = "--dry-run=server";
    let start = Instant::now();
    while patch(&namespace, &[ACCOUNT, dry], &pod, &others[0].1).is_ok() {
        assert!(start.elapsed() < TIMEOUT, "the policy is not in force");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    for (what, change) in &others {
        let error = patch(&namespace, &[ACCOUNT, dry], &pod, change).expect_err(what);
        assert!(
            error.contains(COST) && error.contains("nothing else"),
            "{what}: {error}"
        );
        // Only this account is restricted.
        patch(&namespace, &[dry], &pod, change).unwrap_or_else(|error| panic!("{what}: {error}"));
    }
    for annotations in [
        json!({ COST: "-1000" }),
        json!({ COST: "5" }),
        json!({ COST: Value::Null }),
    ] {
        patch(&namespace, &[ACCOUNT], &pod, &annotate(annotations)).unwrap();
    }
    let pod = namespace.get("pod", &pod);
    assert_eq!(pod["metadata"]["annotations"], json!({ "theirs": "1" }));
}

#[tokio::test]
async fn the_aggregator_may_set_the_finalizer_of_a_pushscaler_and_nothing_else() {
    let namespace = Namespace::create(cluster(), "scaler-rights");
    namespace.scale_deployment("");
    let object = ("pushscaler/torchserve", "merge");
    let theirs = json!({ "metadata": { "finalizers": ["example.com/theirs"], "annotations": { "theirs": "1" } } });
    patch_object(&namespace, &[], object, &theirs).unwrap();
    // kubectl reads an object before it patches it. The aggregator does not, and may not.
    let account = "--serviceaccount=pushscale:pushscale-aggregator";
    let read = ["--verb=get", "--resource=pushscalers.pushscale.dev"];
    namespace.kubectl(&["create", "role", "reader", read[0], read[1]]);
    namespace.kubectl(&["create", "rolebinding", "kubectl", "--role=reader", account]);
    let finalizers = |names: Value| json!({ "metadata": { "finalizers": names } });
    let others = [
        ("bounds", json!({ "spec": { "maxReplicas": 9 } })),
        ("annotation", annotate(json!({ "ours": "1" }))),
        ("removed annotation", annotate(json!({ "theirs": null }))),
        (
            "label",
            json!({ "metadata": { "labels": { "ours": "1" } } }),
        ),
        ("their finalizer", finalizers(json!(null))),
        (
            "another finalizer",
            finalizers(json!(["example.com/theirs", "pushscale.dev/other"])),
        ),
    ];
    let dry = "--dry-run=server";
    let start = Instant::now();
    while patch_object(&namespace, &[ACCOUNT, dry], object, &others[0].1).is_ok() {
        assert!(start.elapsed() < TIMEOUT, "the policy is not in force");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    for (what, change) in &others {
        let error = patch_object(&namespace, &[ACCOUNT, dry], object, change).expect_err(what);
        assert!(
            error.contains("pushscale.dev/restore-replicas") && error.contains("nothing else"),
            "{what}: {error}"
        );
    }
    let ours = ["example.com/theirs", "pushscale.dev/restore-replicas"];
    for names in [json!(ours), json!([ours[0]])] {
        patch_object(&namespace, &[ACCOUNT], object, &finalizers(names)).unwrap();
    }
    patch_object(&namespace, &[], object, &finalizers(json!(null))).unwrap();
}
