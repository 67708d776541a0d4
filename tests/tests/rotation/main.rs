//! A pod outlives its token: the kubelet renews it, the sidecar reads the new one, and all its pushes are accepted. A
//! push with the expired token is rejected. The test takes eleven minutes, since a token lives at least ten, and is not
//! part of `make test`: run `make test-rotation`.

#![cfg(test)]

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use pushscale_api::Algorithm;
use pushscale_protocol::PUSH_PATH;
use pushscale_testkit::local_torchserve::LocalTorchServe;
use pushscale_tests::charts::Helm;
use pushscale_tests::fleet::{self, Fleet, FleetOptions, TIMEOUT, until};
use pushscale_tests::test_cluster::{Shape, TestCluster};
use serde_json::json;

/// The shortest lifetime of a token that the API server allows. The kubelet renews it after four fifths of that.
const TOKEN_SECONDS: u32 = 600;

#[test]
fn a_pod_outlives_its_token_and_the_expired_token_is_rejected() {
    if !Shape::Node.available() {
        return;
    }
    let Some(torchserve) = fleet::local_torchserve() else {
        return;
    };
    let Some(helm) = Helm::for_test() else { return };
    let cluster = TestCluster::start(Shape::Node).unwrap();
    fleet::install_chart(&cluster, &helm, &json!({}));
    let options = FleetOptions {
        token_seconds: Some(TOKEN_SECONDS),
        ..FleetOptions::by(Algorithm::Model)
    };
    let fleet = Fleet::create(&cluster, &torchserve, "rotation", &options);
    until(TIMEOUT, "reported", || {
        fleet.status().contains("1 of 1 running pods report")
    });
    let first_report = Instant::now();
    let pods = fleet.pods();
    // A second token without renewal. It is valid at first: pushes with it are rejected for another reason than the
    // token.
    let life = format!("--duration={TOKEN_SECONDS}s");
    let pod = format!("--bound-object-name={}", pods[0]);
    let create = ["create", "token", "default", "--audience=pushscale"];
    let bound = ["--bound-object-kind=Pod", &pod, &life];
    let token = fleet.kubectl(&[&create[..], &bound].concat());
    assert_eq!(push(&cluster, &torchserve, token.trim()), "400");
    let (mut before, mut renewed) = (counted(&cluster), None);
    assert_eq!(before.get(REVIEWED), Some(&2.0), "{before:?}");
    // A minute longer than the first token lives.
    let end = Duration::from_secs(u64::from(TOKEN_SECONDS) + 60);
    while first_report.elapsed() < end {
        thread::sleep(Duration::from_secs(5));
        until(TIMEOUT, "reported again", || {
            fleet.status().contains("1 of 1 running pods report")
        });
        let mut now = counted(&cluster);
        until(TIMEOUT, "accepted again", || {
            now = counted(&cluster);
            now[ACCEPTED] > before[ACCEPTED]
        });
        if now[REVIEWED] > before[REVIEWED] {
            renewed.get_or_insert(first_report.elapsed());
        }
        before = now;
    }
    assert_eq!(fleet.pods(), pods, "it is the same pod");
    println!(
        "a token of {TOKEN_SECONDS} s was renewed after {:.0?}; after {end:.0?}: {before:?}",
        renewed.expect("it was renewed")
    );
    assert_eq!(before.get(EXPIRED), None);
    assert_eq!(push(&cluster, &torchserve, token.trim()), "401");
    let after = counted(&cluster);
    assert_eq!(after.get(EXPIRED), Some(&1.0), "{after:?}");
    assert_eq!(after[REVIEWED], 3.0, "one per token");
    // The invalid pushes above, and pushes before the aggregator knew the pod.
    let expected = [ACCEPTED, REVIEWED, EXPIRED, MALFORMED, UNKNOWN];
    let unexpected = after
        .keys()
        .filter(|name| !expected.contains(&name.as_str()));
    assert_eq!(unexpected.collect::<Vec<_>>(), Vec::<&String>::new());
    fleet.delete();
}

const EXPIRED: &str = r#"pushes_total{outcome="token_expired"}"#;
const MALFORMED: &str = r#"pushes_total{outcome="invalid_body"}"#;
const UNKNOWN: &str = r#"pushes_total{outcome="unknown_pod"}"#;
const ACCEPTED: &str = r#"pushes_total{outcome="accepted"}"#;
const REVIEWED: &str = r#"token_reviews_total{outcome="authenticated"}"#;

/// Pushes an invalid body, and returns the status.
fn push(cluster: &TestCluster, torchserve: &LocalTorchServe, token: &str) -> String {
    let address = fleet::aggregator(cluster, "/status/podIP");
    let script = "\
import http.client, ssl, sys
address, path, token = sys.argv[1:]
# The certificate is not under test.
connection = http.client.HTTPSConnection(address, 8490, context=ssl._create_unverified_context(), timeout=10)
connection.request('POST', path, '{}', {'Authorization': 'Bearer ' + token})
print(connection.getresponse().status)
";
    let output = cluster
        .command(torchserve.python().to_str().unwrap())
        .args(["-c", script, &address, PUSH_PATH, token])
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Returns the counters of readings and reviews that are not zero.
fn counted(cluster: &TestCluster) -> BTreeMap<String, f64> {
    let pod = fleet::aggregator(cluster, "/metadata/name");
    let page = format!("/api/v1/namespaces/pushscale/pods/{pod}:8491/proxy/metrics");
    let page = cluster.kubectl(&["get", "--raw", &page]).unwrap();
    let lines = page
        .lines()
        .filter_map(|line| line.strip_prefix("pushscale_aggregator_")?.split_once("} "));
    lines
        .map(|(name, count)| (format!("{name}}}"), count.parse::<f64>().unwrap()))
        .filter(|(name, count)| {
            let ours = ["pushes_total{", "token_reviews_total{"];
            *count > 0.0 && ours.iter().any(|start| name.starts_with(start))
        })
        .collect()
}
