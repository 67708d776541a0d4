//! `pushscale doctor` reads a Lease that looks expired again: the leader's clock may be behind.

use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::api_server::{self, Response};

const LEASE: &str = "/apis/coordination.k8s.io/v1/namespaces/pushscale/leases/pushscale-aggregator";

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
        LEASE => Response::Found(json!({
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": { "namespace": "pushscale", "name": "pushscale-aggregator" },
            "spec": {
                "holderIdentity": "pushscale-aggregator-a_1",
                "renewTime": format!("{renewed:.6}"),
            },
        })),
        _ => Response::NotFound,
    }
}

/// Returns what is wrong if the API server responds like this, and whether anything is.
fn doctor(
    test: &str,
    respond: impl Fn(&str) -> Response + Copy + Send + 'static,
) -> (String, bool) {
    let output = Command::new(env!("CARGO_BIN_EXE_pushscale"))
        .args(["doctor", "--quiet"])
        .env("KUBECONFIG", api_server::start(test, respond))
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    match output.status.code() {
        Some(0) => (text, false),
        Some(1) => (text, true),
        other => panic!("exit status {other:?}: {text}"),
    }
}

fn problems(test: &str, respond: impl Fn(&str) -> Response + Copy + Send + 'static) -> String {
    let (text, is_wrong) = doctor(test, respond);
    assert!(is_wrong, "{text}");
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

/// The second read compares the Lease with the time of that read: with the time of the first read, it is 12 s old.
#[test]
fn a_clock_that_is_17_seconds_behind_is_a_problem() {
    let found = problems("clock-slightly-behind", |path| {
        respond(path, Timestamp::now() - SignedDuration::from_secs(17))
    });
    assert!(found.contains("FAIL   clock"), "{found}");
}

/// The first read finds the expired Lease of the previous leader, the second one that of the next leader. The clock of
/// that leader is 3 s ahead, which is tolerated.
#[test]
fn a_failover_between_the_reads_is_no_problem() {
    static READS: AtomicUsize = AtomicUsize::new(0);
    let (found, is_wrong) = doctor("failover", |path| {
        let is_first = path.starts_with(LEASE) && READS.fetch_add(1, Ordering::Relaxed) == 0;
        let ahead = if is_first { -20 } else { 3 };
        respond(path, Timestamp::now() + SignedDuration::from_secs(ahead))
    });
    assert!(!is_wrong, "{found}");
    assert_eq!(READS.load(Ordering::Relaxed), 2);
}

#[test]
fn a_lease_that_is_not_renewed_is_a_problem_of_the_leader() {
    let renewed = Timestamp::now() - TEN_MINUTES;
    let found = problems("not-renewed", move |path| respond(path, renewed));
    assert!(found.contains("FAIL   leader"), "{found}");
    assert!(!found.contains("FAIL   clock"), "{found}");
}
