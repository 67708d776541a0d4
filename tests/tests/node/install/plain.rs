//! Follows helm/plain/README.md.

use std::fs;

use pushscale_tests::programs;

use super::fixture::{Fixture, kubectl};

/// The registry of the page. The images of the node have none.
const REGISTRY: &str = "registry.example.com/mirror/";

const SCALER: &str = "\
apiVersion: pushscale.dev/v1alpha1
kind: PushScaler
metadata: { name: torchserve }
spec:
  scaleTargetRef: { apiVersion: apps/v1, kind: Deployment, name: torchserve }
  maxReplicas: 2
  metrics: [ { type: QueueLatency, queueLatency: { target: 50ms } } ]
";

#[test]
fn the_plain_manifests_scale_a_deployment() {
    let Some(Fixture {
        cluster,
        mut reader,
        guards: _guards,
    }) = Fixture::start("plain")
    else {
        return;
    };
    let page = programs::repository().join("helm/plain/README.md");
    let page = fs::read_to_string(page).unwrap();
    let commands: Vec<_> = page
        .lines()
        .filter_map(|line| line.strip_prefix("    "))
        .map(|command| command.replace(REGISTRY, ""))
        .collect();
    let [apply, rollout, inject, scaler, delete_scalers, delete] = &commands[..] else {
        panic!("{commands:#?}");
    };
    for command in [apply, rollout] {
        reader.run(command);
    }
    reader.run("kubectl create namespace models");
    let manifest = reader
        .run("helm template torchserve helm/torchserve --namespace models --values my-values.yaml");
    reader.write("deployment.yaml", &manifest);
    reader.write("pushscaler.yaml", SCALER);
    for command in [inject, scaler] {
        reader.run(command);
    }
    let wait = "wait pushscaler/torchserve --for=condition=Fresh --timeout=300s";
    kubectl(&cluster, &wait.split(' ').collect::<Vec<_>>());
    for command in [delete_scalers, delete] {
        reader.run(command);
    }
    let found = cluster.kubectl(&["get", "crd", "-o=name"]).unwrap();
    assert!(!found.contains("pushscale.dev"), "{found}");
}
