//! `pushscale status`, `explain` and `doctor` against the API server. There is no kubelet here that could forward a
//! port, so `explain` gets the aggregator's address; tests/tests/node has the port-forward.

use std::process::{Command, Output};

use pushscale_tests::fake_pod::Load;
use pushscale_tests::namespace::{Aggregator, Namespace};
use pushscale_tests::programs;
use serde_json::Value;

use crate::cluster;

fn pushscale(namespace: &Namespace<'_>, arguments: &[&str]) -> Output {
    Command::new(programs::command_line())
        .args(arguments)
        .args(["-n", &namespace.name])
        .env("KUBECONFIG", namespace.cluster.kubeconfig())
        .output()
        .unwrap()
}

/// Returns the output of a command that succeeds.
fn printed(namespace: &Namespace<'_>, arguments: &[&str]) -> String {
    let output = pushscale(namespace, arguments);
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn status_explain_and_doctor_show_a_change_and_its_reasons() {
    let namespace = Namespace::create(cluster(), "command-line");
    let spec = "  metrics: [ { type: QueueLatency, queueLatency: { target: 1s } } ]\n";
    namespace.scaled_deployment(1, spec).await;
    let aggregator = Aggregator::start(&namespace).await;
    let mut pods = namespace.run_pods(1).await;
    aggregator
        .push_until(&mut pods, Load::Rate(25.0), || async {
            namespace.replicas() == 5
        })
        .await;
    let has_history = |scaler: &Value| scaler["status"]["history"][0]["to"] == 5;
    namespace
        .until("pushscaler", "torchserve", "with history", has_history)
        .await;

    let table = printed(&namespace, &["status"]);
    assert!(table.starts_with("NAME "), "{table}");
    assert!(table.contains("Deployment/torchserve"), "{table}");
    assert!(!table.contains('\u{1b}'), "colours without a terminal");
    let json: Value =
        serde_json::from_str(&printed(&namespace, &["status", "-o", "json"])).unwrap();
    let change = &json["items"][0]["status"]["history"][0];
    assert_eq!(change["to"], 5, "{change}");
    for figure in ["queueLatency", "target", "arrivalRate", "reason", "time"] {
        assert!(change[figure].is_string(), "{figure}: {change}");
    }

    let address = format!("http://{}", aggregator.admin);
    let explain = ["explain", "torchserve", "--aggregator", &address];
    let text = printed(&namespace, &explain);
    for expected in [
        "(min 1, max 5)",
        "Why not more replicas",
        "maxReplicas",
        "Last changes",
    ] {
        assert!(text.contains(expected), "{expected}:\n{text}");
    }
    let past = printed(&namespace, &[&explain[..], &["--at", "0s"]].concat());
    assert!(past.contains("replayed from the recording"), "{past}");

    // Nothing injects sidecars here, and no pod has the labels of an aggregator.
    let doctor = pushscale(&namespace, &["doctor", "torchserve"]);
    assert_eq!(doctor.status.code(), Some(1), "{doctor:?}");
    let found = String::from_utf8(doctor.stdout).unwrap();
    for expected in [
        "no pod has the labels of the aggregator",
        "no sidecar",
        "scale of Deployment/torchserve: replicas 5",
        "has no request for cpu and memory",
    ] {
        assert!(found.contains(expected), "{expected}:\n{found}");
    }

    let log = aggregator.log();
    let mut audits = log
        .lines()
        .filter(|line| line.contains(r#""target":"audit""#));
    let scaled = audits
        .find(|line| line.contains(r#""outcome":"scale""#))
        .unwrap();
    let scaled: Value = serde_json::from_str(scaled).unwrap();
    assert_eq!(scaled["schema"], 1);
    assert_eq!(scaled["autoscaler"], "command-line/torchserve");
    for figure in [
        "latency_seconds",
        "target_seconds",
        "arrival_rate",
        "current",
        "desired",
    ] {
        assert!(scaled[figure].is_number(), "{figure}: {scaled}");
    }
}

#[tokio::test]
async fn doctor_finds_what_the_api_server_knows_about_a_target() {
    let namespace = Namespace::create(cluster(), "doctor-targets");
    namespace.deploy("Deployment", 1).await;
    namespace.scale("missing", "apps/v1", "Deployment", "none", "");
    namespace.scale("unscalable", "v1", "ConfigMap", "kube-root-ca.crt", "");
    namespace.scale("unknown", "example.com/v1", "Widget", "w", "");
    namespace.scale("contested", "apps/v1", "Deployment", "torchserve", "");
    namespace.kubectl(&["autoscale", "deployment/torchserve", "--max=3", "--cpu=50%"]);
    let doctor = pushscale(&namespace, &["doctor"]);
    assert_eq!(doctor.status.code(), Some(1), "{doctor:?}");
    let found = String::from_utf8(doctor.stdout).unwrap();
    for expected in [
        "Deployment/none does not exist in namespace doctor-targets",
        "ConfigMap/kube-root-ca.crt has no scale subresource",
        "the API server does not know example.com/v1 Widget",
        "HorizontalPodAutoscaler torchserve also scales Deployment/torchserve",
    ] {
        assert!(found.contains(expected), "{expected}:\n{found}");
    }
}
