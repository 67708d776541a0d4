//! A real API server accepts the manifests of several sets of values: each object in a dry run, and each pod under the
//! restricted Pod Security Standard, which applies to pods only.

use pushscale_tests::charts::{CHARTS, Helm, name_of, objects};
use pushscale_tests::namespace::until_established;
use pushscale_tests::test_cluster::{Shape, TestCluster};
use serde_json::{Value, json};

use crate::{cases, marked, read};

#[test]
fn rendered_manifests_are_accepted_by_an_api_server() {
    let Some(helm) = Helm::for_test() else { return };
    let cluster = TestCluster::start(Shape::ControlPlane).unwrap();
    for chart in CHARTS {
        cluster.api().apply(
            &json!({
                "apiVersion": "v1", "kind": "Namespace",
                "metadata": { "name": chart, "labels": { "pod-security.kubernetes.io/enforce": "restricted" } },
            })
            .to_string(),
        )
        .unwrap();
    }
    cluster.kubectl(&["create", "namespace", "models"]).unwrap();
    for file in ["files/crd.yaml", "files/checkpoint-crd.yaml"] {
        let definition = pushscale_tests::charts::read("pushscale", file);
        cluster.api().apply(&definition).unwrap();
    }
    until_established(&cluster);

    for chart in CHARTS {
        for case in cases("accepted", chart) {
            let text = read(&case);
            let values: Value = serde_saphyr::from_str(&text).unwrap();
            let values = if values.is_null() { json!({}) } else { values };
            let unknown = marked(&text, "unknown kind");
            let lax = !marked(&text, "not restricted").is_empty();
            let case = case.display();
            let rendered = helm
                .template(chart, &values)
                .unwrap_or_else(|error| panic!("{case}: {error}"));
            let mut seen = Vec::new();
            for object in objects(&rendered) {
                let kind = object["kind"].as_str().unwrap();
                if unknown.contains(&kind) {
                    seen.push(kind.to_owned());
                    continue;
                }
                dry_run(&cluster, &object)
                    .unwrap_or_else(|error| panic!("{case}: {}: {error}", name_of(&object)));
                if let Some(pod) = pod_of(&object).filter(|_| !lax) {
                    dry_run(&cluster, &pod).unwrap_or_else(|error| {
                        panic!("{case}: the pod of {}: {error}", name_of(&object))
                    });
                }
            }
            for kind in unknown {
                assert!(
                    seen.iter().any(|seen| seen == kind),
                    "{case}: no {kind} was rendered"
                );
            }
        }
    }
}

fn dry_run(cluster: &TestCluster, object: &Value) -> Result<(), String> {
    cluster
        .api()
        .dry_run(&object.to_string())
        .map_err(|error| error.to_string())
}

/// A pod from the template, with an existing service account.
fn pod_of(object: &Value) -> Option<Value> {
    let template = &object["spec"]["template"];
    let mut pod = template.as_object()?.clone();
    pod["spec"]["serviceAccountName"] = json!("default");
    pod.insert("apiVersion".to_owned(), json!("v1"));
    pod.insert("kind".to_owned(), json!("Pod"));
    pod["metadata"]["name"] = json!("by-the-template");
    pod["metadata"]["namespace"] = object["metadata"]["namespace"].clone();
    Some(Value::Object(pod))
}
