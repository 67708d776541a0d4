//! The chart and the injector produce the same pod.

use pushscale_injector::{Auth, Facts, PullPolicy, Sidecar, apply, inject_value};
use pushscale_tests::charts::{Helm, name_of, objects};
use serde_json::{Value, json};

#[test]
fn the_chart_and_the_injector_produce_the_same_pod() {
    let Some(helm) = Helm::for_test() else { return };
    for (auth, word, limits) in [
        (Auth::Token, "token", json!({ "memory": "4Gi" })),
        (Auth::None, "none", json!({ "cpu": 1, "memory": "4Gi" })),
    ] {
        for native_sidecar in [true, false] {
            let rendered = |pushscale: Value| {
                let values = json!({
                    "pushscale": pushscale,
                    "probes": { "model": "my-model" },
                    "resources": { "limits": limits },
                });
                pod(&helm.template("torchserve", &values).unwrap())
            };
            let by_the_chart = rendered(json!({
                "enabled": true, "auth": word, "nativeSidecar": native_sidecar,
            }));
            let mut injected = rendered(json!({ "enabled": false }));
            injected["metadata"]["labels"]["pushscale.dev/inject"] = json!("enabled");
            let sidecar = Sidecar {
                image: format!("pushscale/sidecar:{}", env!("CARGO_PKG_VERSION")),
                pull_policy: PullPolicy::IfNotPresent,
                aggregator: "pushscale-aggregator.pushscale.svc.cluster.local.:8490".to_owned(),
                auth,
                own_namespace: Some("pushscale".to_owned()),
            };
            let facts = Facts {
                namespace: "models",
                container: None,
                native_sidecar,
                sidecar: &sidecar,
            };
            let outcome = inject_value(&injected, &facts).unwrap();
            apply(&outcome.changes(), &mut injected);
            assert_eq!(comparable(by_the_chart), comparable(injected));
        }
    }
}

/// Returns the pod of the Deployment among these objects.
fn pod(rendered: &str) -> Value {
    let deployment = objects(rendered)
        .into_iter()
        .find(|object| name_of(object) == "Deployment/torchserve")
        .unwrap();
    let template = &deployment["spec"]["template"];
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": template["metadata"], "spec": template["spec"],
    })
}

/// Removes the label and the annotation by which they recognise each other, and sorts lists whose order does not
/// matter.
fn comparable(mut pod: Value) -> Value {
    let about = pod["metadata"].as_object_mut().unwrap();
    about["labels"]
        .as_object_mut()
        .unwrap()
        .remove("pushscale.dev/inject");
    about["annotations"]
        .as_object_mut()
        .unwrap()
        .remove("pushscale.dev/injected");
    sort(&mut pod["spec"]["volumes"]);
    for containers in ["containers", "initContainers"] {
        for container in pod["spec"][containers].as_array_mut().into_iter().flatten() {
            sort(&mut container["env"]);
        }
    }
    pod
}

fn sort(list: &mut Value) {
    if let Some(list) = list.as_array_mut() {
        list.sort_by_key(|item| item["name"].to_string());
    }
}
