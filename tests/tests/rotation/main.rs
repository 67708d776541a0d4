//! A pod outlives its token: the kubelet renews it, the sidecar takes the new one up, and no push is refused on the way. It takes
//! eleven minutes, since no token may live less than ten, and is no part of `make test`: `make test-rotation`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking, and tells what it measured"
)]

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use pushscale_api::Algorithm;
use pushscale_tests::fleet::{self, Fleet, FleetOptions, until};
use pushscale_tests::rig::{Rig, Shape};

/// The shortest life that the API server gives a token. The kubelet renews it when four fifths are over.
const TOKEN_SECONDS: u32 = 600;

#[test]
fn a_pod_outlives_its_token_and_no_push_is_refused() {
    if !Shape::Node.available() {
        return;
    }
    let Some(kit) = fleet::kit() else { return };
    let rig = Rig::start(Shape::Node).unwrap();
    fleet::install(&rig);
    fleet::ask_for_trust(&rig);
    let options = FleetOptions {
        token_seconds: Some(TOKEN_SECONDS),
        ..FleetOptions::by(Algorithm::Model)
    };
    let fleet = Fleet::create(&rig, &kit, "rotation", &options);
    until(Duration::from_secs(60), "heard", || {
        fleet.describe().contains("1 of 1 running pods report")
    });
    let heard = Instant::now();
    let pods = fleet.pods();
    let (mut before, mut renewed) = (counted(&rig), None);
    assert_eq!(before.get(REVIEWED), Some(&1.0), "{before:?}");
    // A minute more than the first one lives.
    let end = Duration::from_secs(u64::from(TOKEN_SECONDS) + 60);
    while heard.elapsed() < end {
        thread::sleep(Duration::from_secs(5));
        let described = fleet.describe();
        assert!(
            described.contains("1 of 1 running pods report"),
            "{described}"
        );
        let now = counted(&rig);
        assert!(now[TAKEN] > before[TAKEN], "{before:?}\n{now:?}");
        if now[REVIEWED] > before[REVIEWED] {
            renewed.get_or_insert(heard.elapsed());
        }
        before = now;
    }
    assert_eq!(fleet.pods(), pods, "it is the same pod");
    println!(
        "a token of {TOKEN_SECONDS} s was renewed after {:.0?}; after {end:.0?}: {before:?}",
        renewed.expect("it was renewed")
    );
    assert_eq!(before[REVIEWED], 2.0, "one a token");
    // Before the scaler knew the pod.
    let others = ["UnknownPod", "NoToken"];
    let refused = before.keys().filter(|name| {
        let fine = [TAKEN, REVIEWED].contains(&name.as_str());
        !fine && !others.iter().any(|other| name.contains(other))
    });
    assert_eq!(refused.collect::<Vec<_>>(), Vec::<&String>::new());
    fleet.delete();
}

const TAKEN: &str = r#"readings_total{outcome="Taken"}"#;
const REVIEWED: &str = r#"token_reviews_total{outcome="Authenticated"}"#;

/// What the aggregator has counted of readings and reviews, without what never came.
fn counted(rig: &Rig) -> BTreeMap<String, f64> {
    let aggregator = "-l=app.kubernetes.io/name=pushscale-aggregator";
    let name = "-o=jsonpath={.items[0].metadata.name}";
    let pod = rig
        .kubectl(&["-n=pushscale", "get", "pods", aggregator, name])
        .unwrap();
    let page = format!("/api/v1/namespaces/pushscale/pods/{pod}:8491/proxy/metrics");
    let page = rig.kubectl(&["get", "--raw", &page]).unwrap();
    let lines = page
        .lines()
        .filter_map(|line| line.strip_prefix("pushscale_aggregator_")?.split_once("} "));
    lines
        .map(|(name, count)| (format!("{name}}}"), count.parse::<f64>().unwrap()))
        .filter(|(name, count)| {
            let ours = ["readings_total{", "token_reviews_total{"];
            *count > 0.0 && ours.iter().any(|start| name.starts_with(start))
        })
        .collect()
}
