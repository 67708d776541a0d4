//! `pushscale doctor` reads a Lease that looks expired again: the leader's clock may be behind.

#![cfg(test)]

#[path = "support/api_server.rs"]
mod api_server;

use std::process::Command;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use api_server::Response;

fn aggregator() -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "namespace": "pushscale",
            "name": "pushscale-aggregator-a",
            "labels": {
                "app.kubernetes.io/name": "pushscale-aggregator",
                "app.kubernetes.io/part-of": "pushscale",
            },
        },
        "status": { "conditions": [{ "type": "Ready", "status": "True" }] },
    })
}

fn list(kind: &str, items: &[Value]) -> Response {
    Response::Found(json!({ "kind": kind, "apiVersion": "v1", "metadata": {}, "items": items }))
}

/// Responds like a cluster with an aggregator and without PushScalers.
fn respond(path: &str, renewed: Timestamp) -> Response {
    let path = path.split('?').next().unwrap();
    if path.ends_with("/pushscalers") {
        return list("PushScalerList", &[]);
    }
    match path {
        "/api/v1/pods" => list("PodList", &[aggregator()]),
        "/apis/coordination.k8s.io/v1/namespaces/pushscale/leases/pushscale-aggregator" => {
            Response::Found(json!({
                "apiVersion": "coordination.k8s.io/v1",
                "kind": "Lease",
                "metadata": { "namespace": "pushscale", "name": "pushscale-aggregator" },
                "spec": {
                    "holderIdentity": "pushscale-aggregator-a_1",
                    "renewTime": format!("{renewed:.6}"),
                },
            }))
        }
        _ => Response::NotFound,
    }
}

/// Returns what is wrong if the API server responds like this.
fn problems(test: &str, respond: impl Fn(&str) -> Response + Copy + Send + 'static) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_pushscale"))
        .args(["doctor", "--quiet"])
        .env("KUBECONFIG", api_server::start(test, respond))
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    text
}

const TEN_MINUTES: SignedDuration = SignedDuration::from_mins(10);

#[test]
fn a_lease_that_is_renewed_by_a_clock_that_is_behind_is_a_problem_of_the_clock() {
    let found = problems("clock-behind", |path| {
        respond(path, Timestamp::now() - TEN_MINUTES)
    });
    assert!(found.contains("FAIL   clock"), "{found}");
    assert!(found.contains(" s behind this machine's"), "{found}");
    assert!(!found.contains("FAIL   leader"), "{found}");
}

#[test]
fn a_lease_that_is_not_renewed_is_a_problem_of_the_leader() {
    let renewed = Timestamp::now() - TEN_MINUTES;
    let found = problems("not-renewed", move |path| respond(path, renewed));
    assert!(found.contains("FAIL   leader"), "{found}");
    assert!(!found.contains("FAIL   clock"), "{found}");
}
