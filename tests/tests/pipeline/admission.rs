//! The injector's endpoint, called like an API server calls it: over TLS.

use std::path::{Path, PathBuf};

use pushscale_daemon::config::Settings;
use pushscale_daemon::shutdown::Shutdown;
use pushscale_tests::http;
use pushscale_tests::injector::{Connection, Injector, certify, review};
use pushscale_tests::programs::repository;
use serde_json::{Value, json};

use crate::support::TIMEOUT;

fn directory(name: &str) -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    certify(&directory);
    directory
}

fn torchserve() -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": { "generateName": "torchserve-" },
        "spec": { "containers": [ { "name": "torchserve", "image": "pytorch/torchserve:0.12.0-cpu" } ] },
    })
}

#[tokio::test]
async fn a_review_is_answered_with_a_patch_and_other_requests_are_rejected() {
    let directory = directory("admission-answers");
    let stop = Shutdown::new();
    let injector = Injector::start(&directory, stop.clone()).await;
    let mut connection = Connection::open(injector.address, &directory)
        .await
        .unwrap();
    let answer = connection
        .ask("POST", "/inject", &review(&torchserve()))
        .await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let answer: Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(
        answer["response"]["uid"],
        "705ab4f5-6393-11e8-b7cc-42010a800002"
    );
    assert_eq!(answer["response"]["allowed"], true);
    assert_eq!(answer["response"]["patchType"], "JSONPatch");
    assert!(answer["response"]["warnings"].is_null());

    let mut bad = torchserve();
    bad["metadata"]["annotations"] = json!({ "pushscale.dev/metrics-port": "$(reboot)" });
    let answer = connection.ask("POST", "/inject", &review(&bad)).await;
    let answer: Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(
        answer["response"]["allowed"], true,
        "a bad annotation keeps no pod out"
    );
    let warning = answer["response"]["warnings"][0].as_str().unwrap();
    assert!(
        warning.starts_with("pushscale: InvalidAnnotation: pushscale.dev/metrics-port is"),
        "{warning}"
    );

    let old = br#"{"apiVersion":"admission.k8s.io/v1beta1","request":{"uid":"u"}}"#;
    for (method, path, body, status, sentence) in [
        ("POST", "/inject", &b"{"[..], 400, "not an AdmissionReview"),
        ("POST", "/inject", &b"{}"[..], 400, "not an AdmissionReview"),
        (
            "POST",
            "/inject",
            &old[..],
            400,
            "set admissionReviewVersions: [v1]",
        ),
        ("GET", "/inject", &b""[..], 405, "the method must be POST"),
        ("POST", "/other", &b""[..], 404, "the path must be /inject"),
    ] {
        let answer = connection.ask(method, path, body).await;
        assert_eq!(answer.status, status, "{answer:?}");
        assert!(answer.body.contains(sentence), "{answer:?}");
    }
    let head = format!(
        "POST /inject HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n",
        (3 << 20) + 1
    );
    let answer = connection.send(head.as_bytes()).await;
    assert_eq!(answer.status, 413, "{answer:?}");

    let metrics = http::get(injector.admin, "/metrics").await.body;
    for line in [
        "pushscale_injector_pods_total{outcome=\"injected\",reason=\"\"} 1",
        "pushscale_injector_pods_total{outcome=\"skipped\",reason=\"invalid_annotation\"} 1",
        "pushscale_injector_rejected_requests_total{outcome=\"invalid_body\"} 3",
        "pushscale_injector_rejected_requests_total{outcome=\"too_large\"} 1",
    ] {
        assert!(metrics.contains(line), "{line} is not in\n{metrics}");
    }
    stop.cancel();
}

#[tokio::test]
async fn a_new_certificate_is_served_to_new_connections_and_open_ones_continue() {
    let directory = directory("admission-renewal");
    let stop = Shutdown::new();
    let injector = Injector::start(&directory, stop.clone()).await;
    let mut old = Connection::open(injector.address, &directory)
        .await
        .unwrap();

    certify(&directory);
    http::until(TIMEOUT, || async {
        Connection::open(injector.address, &directory)
            .await
            .is_some()
    })
    .await;
    let answer = old.ask("POST", "/inject", &review(&torchserve())).await;
    assert_eq!(answer.status, 200);
    stop.cancel();
}

#[tokio::test]
async fn the_injector_waits_for_its_certificate_and_is_not_ready() {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("admission-late");
    std::fs::remove_dir_all(&directory).ok();
    let stop = Shutdown::new();
    let started = tokio::spawn({
        let (directory, stop) = (directory.clone(), stop.clone());
        async move { Injector::start(&directory, stop).await }
    });
    assert!(!started.is_finished());
    certify(&directory);
    let injector = started.await.unwrap();
    assert!(
        Connection::open(injector.address, &directory)
            .await
            .is_some()
    );
    stop.cancel();
}

/// A sidecar rejects unknown settings, and then its pod does not start. So it must accept everything that the injector
/// sets.
#[test]
fn every_injected_sidecar_accepts_its_environment() {
    let mut sidecars = 0;
    for entry in std::fs::read_dir(repository().join("crates/injector/testdata")).unwrap() {
        let file = entry.unwrap().path().join("after.yaml");
        let text = std::fs::read_to_string(&file).unwrap();
        if !text.starts_with("# Injected") {
            continue;
        }
        let pod: Value = serde_saphyr::from_str(&text).unwrap();
        let containers = ["initContainers", "containers"].map(|list| pod["spec"][list].as_array());
        let sidecar = containers
            .into_iter()
            .flatten()
            .flatten()
            .find(|container| container["name"] == "pushscale-sidecar")
            .unwrap();
        let environment: Vec<_> = sidecar["env"]
            .as_array()
            .unwrap()
            .iter()
            // Values from fields of the pod are arbitrary here.
            .map(|set| {
                (
                    set["name"].as_str().unwrap(),
                    set["value"].as_str().unwrap_or("x"),
                )
            })
            .collect();
        let settings = Settings::from_pairs(&pushscale_sidecar::PROGRAM, environment).unwrap();
        let read = pushscale_sidecar::Config::from_settings(settings);
        assert!(read.is_ok(), "{}: {read:?}", file.display());
        sidecars += 1;
    }
    assert!(sidecars > 20, "only {sidecars} sidecars were found");
}
