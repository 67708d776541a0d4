//! docs/KSERVE.md, without KServe: a Deployment as KServe's controller writes it gets the sidecar from the injector and
//! is scaled. Its real TorchServe has the management port of KServe's runtime.

use pushscale_tests::document::Document;
use pushscale_tests::fleet::{TIMEOUT, torchserve_pod, until};
use pushscale_tests::load::LoadGenerator;
use serde_json::{Value, json};

use crate::chart_node::ChartNode;

#[test]
fn a_deployment_of_kserve_is_injected_and_scaled() {
    let Some(node) = ChartNode::start(&json!({ "injector": { "enabled": true } })) else {
        return;
    };
    let mut reader = node.reader("kserve");
    reader.run("kubectl create namespace models");
    reader.run("kubectl label namespace models pushscale.dev/inject=enabled");
    let pod = torchserve_pod(&node.torchserve);
    for object in [deployment(&pod), service()] {
        node.cluster.api().apply(&object.to_string()).unwrap();
    }
    let page = Document::read("KSERVE.md");
    reader.follow(page.section("Scale its Deployment"), |_| {});
    let get = |kind: &str, name: &str| node.cluster.api().get("models", kind, name).unwrap();
    let status = || get("pushscaler", "mnist")["status"].to_string();
    until(TIMEOUT, "reported", || {
        status().contains("1 of 1 running pods report")
    });
    let pods = node.cluster.api().objects("models", "pod", "").unwrap();
    let pod = &pods[0];
    assert_eq!(
        pod["metadata"]["annotations"]["pushscale.dev/container"],
        Value::Null,
        "the container is recognized"
    );
    assert_eq!(
        pod["spec"]["initContainers"][0]["name"],
        "pushscale-sidecar"
    );
    let hook = &pod["spec"]["containers"][0]["lifecycle"]["preStop"]["httpGet"];
    assert_eq!(hook["path"], "/drain", "{pod:#}");

    let service = get("service", "mnist-predictor");
    let address = format!("{}:80", service["spec"]["clusterIP"].as_str().unwrap());
    let load = LoadGenerator::start(&node.cluster, "kserve", &address, &["25:3600"]);
    until(TIMEOUT, "scaled up", || {
        get("deployment", "mnist-predictor")["spec"]["replicas"].as_u64() >= Some(4)
    });
    // Also those of the management API.
    until(TIMEOUT, "all metrics", || {
        status().contains("AllMetricsAvailable")
    });
    load.stop();
}

/// Returns the Deployment that KServe writes for the InferenceService `mnist` of the page, with the machine's
/// TorchServe.
fn deployment(pod: &Value) -> Value {
    let mut spec = pod["spec"].clone();
    let container = &mut spec["containers"][0];
    container["name"] = json!("kserve-container");
    let arguments = container["args"].as_array_mut().unwrap();
    arguments.extend(["--management-port", "8085"].map(Value::from));
    container["ports"] = json!([{ "containerPort": 8080, "protocol": "TCP" }]);
    container["readinessProbe"] = json!({ "tcpSocket": { "port": 8080 }, "periodSeconds": 1 });
    let labels = json!({
        "app": "isvc.mnist-predictor",
        "component": "predictor",
        "serving.kserve.io/inferenceservice": "mnist",
    });
    let annotations = json!({
        "serving.kserve.io/deploymentMode": "Standard",
        "serving.kserve.io/autoscalerClass": "external",
    });
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": "mnist-predictor",
            "namespace": "models",
            "labels": labels,
            "annotations": annotations,
        },
        "spec": {
            "selector": { "matchLabels": { "app": "isvc.mnist-predictor" } },
            "strategy": {
                "type": "RollingUpdate",
                "rollingUpdate": { "maxUnavailable": "25%", "maxSurge": "25%" },
            },
            "template": {
                "metadata": { "labels": labels, "annotations": annotations },
                "spec": spec,
            },
        },
    })
}

fn service() -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": { "name": "mnist-predictor", "namespace": "models" },
        "spec": {
            "selector": { "app": "isvc.mnist-predictor" },
            "ports": [{ "name": "http", "port": 80, "targetPort": 8080 }],
        },
    })
}
