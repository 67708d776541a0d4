//! Against a real API server, which records the owner of each field: enabling an autoscaler keeps the replicas.

use pushscale_tests::charts::{Helm, directory, read};
use pushscale_tests::namespace::until_established;
use pushscale_tests::test_cluster::{Shape, TestCluster};
use serde_json::json;

#[test]
fn an_upgrade_with_an_autoscaler_keeps_the_replicas() {
    let Some(helm) = Helm::for_test() else { return };
    let cluster = TestCluster::start(Shape::ControlPlane).unwrap();
    cluster.kubectl(&["create", "namespace", "models"]).unwrap();
    for file in ["files/crd.yaml", "files/checkpoint-crd.yaml"] {
        cluster.api().apply(&read("pushscale", file)).unwrap();
    }
    until_established(&cluster);
    for server_side in ["true", "false"] {
        let name = format!("server-side-{server_side}");
        let helm = |action: &str, values| {
            let chart = directory("torchserve");
            let server_side = format!("--server-side={server_side}");
            let chart = chart.to_str().unwrap();
            let arguments: [&str; 5] = [action, &name, chart, "--namespace=models", &server_side];
            helm.on(&cluster, &arguments, Some(&values)).unwrap();
        };
        let deployment = format!("deployment/{name}");
        let replicas = || {
            let field = "-o=jsonpath={.spec.replicas}";
            let arguments = ["-n=models", "get", &deployment, field];
            cluster.kubectl(&arguments).unwrap()
        };
        helm("install", json!({ "replicas": 3 }));
        let enabled = json!({ "pushscale": { "enabled": true } });
        helm("upgrade", enabled.clone());
        assert_eq!(replicas(), "3", "{name}: Helm was the only owner");
        helm("upgrade", enabled.clone());
        assert_eq!(replicas(), "3", "{name}: and still is");
        let scale = ["-n=models", "scale", &deployment, "--replicas=5"];
        cluster.kubectl(&scale).unwrap();
        helm("upgrade", enabled.clone());
        assert_eq!(replicas(), "5", "{name}: the autoscaler is the owner");
        helm("upgrade", enabled);
        assert_eq!(replicas(), "5", "{name}: and remains it");
    }
}
