//! What was learned survives a restart of all aggregators, in a PushScalerCheckpoint that the leader writes.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use pushscale_api::{PushScalerCheckpointSpec, ScaleTargetRef};
use pushscale_decision::{Checkpoint, ModelCheckpoint, ObservedStarts, PeriodSaving, RateSeries};
use pushscale_tests::fake_pod::{FakePod, Load};
use pushscale_tests::namespace::{Aggregator, Namespace, TIMEOUT};
use serde_json::{Value, json};

use crate::cluster;

const QUIET: Load = Load::Rate(2.0);
const DAY: u64 = 86_400;
const SPEC: &str = "  mode: Recommend\n  maxReplicas: 5\n  metrics: [ { type: QueueLatency, queueLatency: { target: 1s } } ]\n";
const CHECKPOINT: &str = "pushscalercheckpoint/torchserve";

/// The step of a decision: a day ago 40 requests arrived per second, for which 5 pods are the maximum.
const STEP: &str = "expected: 40/s, as it was 24 h ago; 5 replicas prepared";

/// Days of two requests per second with an hour of 40 around this time of day, which have proven themselves.
fn learned_days() -> Checkpoint {
    let now = u64::try_from(Timestamp::now().as_second()).unwrap();
    let first = now - 6 * DAY;
    let rates = (0..6 * DAY / 600).map(|bucket| {
        let until_then = (DAY - bucket * 600 % DAY) % DAY;
        let is_busy = !(1800..=DAY - 1800).contains(&until_then);
        Some(if is_busy { 40.0 } else { 2.0 })
    });
    Checkpoint {
        start_delay: Some(ObservedStarts {
            seconds: 60.0,
            count: 9,
        }),
        models: vec![ModelCheckpoint {
            name: "sleepy".into(),
            service_seconds: Some(0.1),
            savings: vec![PeriodSaving {
                period: DAY,
                saving: 1e5,
            }],
            rates: vec![RateSeries {
                bucket_seconds: 600,
                first_bucket: first / 600,
                rates: rates.collect(),
            }],
        }],
    }
}

/// Stores what was learned about the Deployment `target`, as an earlier aggregator would have.
fn store(namespace: &Namespace<'_>, target: &str, checkpoint: &Checkpoint) {
    let scaler = namespace.get("pushscaler", "torchserve");
    let target = ScaleTargetRef {
        api_version: "apps/v1".to_owned(),
        kind: "Deployment".to_owned(),
        name: target.to_owned(),
    };
    let object = json!({
        "apiVersion": "pushscale.dev/v1alpha1",
        "kind": "PushScalerCheckpoint",
        "metadata": {
            "name": "torchserve",
            "namespace": namespace.name,
            "ownerReferences": [{
                "apiVersion": "pushscale.dev/v1alpha1",
                "kind": "PushScaler",
                "name": "torchserve",
                "uid": scaler["metadata"]["uid"],
            }],
        },
        "spec": PushScalerCheckpointSpec::encode(Timestamp::now(), target, checkpoint),
    });
    namespace.apply(&object.to_string());
}

/// Permits the aggregator to elect a leader in this namespace: another test uses the Lease of the manifest.
fn permit_election(namespace: &Namespace<'_>) {
    namespace.kubectl(&[
        "create",
        "role",
        "election",
        "--verb=get,create,update",
        "--resource=leases.coordination.k8s.io",
    ]);
    let account = "--serviceaccount=pushscale:pushscale-aggregator";
    namespace.kubectl(&[
        "create",
        "rolebinding",
        "election",
        "--role=election",
        account,
    ]);
}

/// Two aggregators and a pod that pushes to both.
struct Pair {
    aggregators: [Aggregator; 2],
    pod: FakePod,
}

impl Pair {
    async fn start(namespace: &Namespace<'_>, names: [&str; 2]) -> Self {
        let aggregator = async |pod| {
            let settings = [
                ("PUSHSCALE_AGGREGATOR_LEADER_ELECTION", "true"),
                ("PUSHSCALE_AGGREGATOR_LEASE_NAMESPACE", &namespace.name),
                ("PUSHSCALE_AGGREGATOR_POD_NAME", pod),
            ];
            Aggregator::start_with(namespace, &settings).await
        };
        Self {
            aggregators: [aggregator(names[0]).await, aggregator(names[1]).await],
            pod: namespace.run_pods(1).await.swap_remove(0),
        }
    }

    /// Pushes until each aggregator has decided and one leads. Returns the leader, and the steps of both.
    async fn decide(&mut self) -> (usize, [String; 2]) {
        let start = Instant::now();
        loop {
            let mut steps = [String::new(), String::new()];
            let mut leader = None;
            for (index, aggregator) in self.aggregators.iter().enumerate() {
                let answer = self.pod.push(aggregator.push, QUIET).await;
                assert!(matches!(answer.status, 200 | 404), "{answer:?}");
                let page: Value = serde_json::from_str(&aggregator.debug_page().await).unwrap();
                steps[index] = page[0]["decision"]["steps"].to_string();
                if aggregator.leads().await {
                    leader = Some(index);
                }
            }
            // The first decisions lack a measured rate.
            if let Some(leader) = leader
                && steps.iter().all(|steps| steps.contains("needed: "))
            {
                return (leader, steps);
            }
            assert!(start.elapsed() < TIMEOUT, "{steps:?}\n{}", self.logs());
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    fn logs(&self) -> String {
        self.aggregators.each_ref().map(Aggregator::log).join("\n")
    }

    /// Sends both a signal and waits until they have exited.
    async fn end(mut self, signal: &str) {
        for aggregator in &self.aggregators {
            aggregator.signal(signal);
        }
        for aggregator in &mut self.aggregators {
            aggregator.exited().await;
        }
    }
}

#[tokio::test]
async fn what_was_learned_survives_a_restart_of_both_aggregators() {
    let namespace = Namespace::create(cluster(), "checkpoints");
    permit_election(&namespace);
    namespace.scaled_deployment(1, SPEC).await;

    // Without a checkpoint, two requests per second need one pod.
    let mut pair = Pair::start(&namespace, ["a", "b"]).await;
    let (_, steps) = pair.decide().await;
    assert!(!steps.join("").contains("expected"), "{steps:?}");
    pair.end("KILL").await;

    store(&namespace, "torchserve", &learned_days());
    let mut pair = Pair::start(&namespace, ["c", "d"]).await;
    let (_, steps) = pair.decide().await;
    assert!(steps.iter().all(|steps| steps.contains(STEP)), "{steps:?}");
    pair.end("KILL").await;

    // A leader that is stopped stores what it knows.
    let mut pair = Pair::start(&namespace, ["e", "f"]).await;
    pair.decide().await;
    namespace.kubectl(&["delete", CHECKPOINT]);
    pair.end("TERM").await;
    let table = namespace.kubectl(&["get", "pushscalercheckpoints"]);
    let columns: Vec<_> = table.lines().map(str::split_whitespace).collect();
    assert_eq!(columns.len(), 2, "{table}");
    assert!(table.starts_with("NAME"), "{table}");
    let row: Vec<_> = columns[1].clone().take(3).collect();
    assert_eq!(row, ["torchserve", "torchserve", "60"], "{table}");
    let mut pair = Pair::start(&namespace, ["g", "h"]).await;
    let (_, steps) = pair.decide().await;
    assert!(steps.iter().all(|steps| steps.contains(STEP)), "{steps:?}");
    pair.end("KILL").await;

    // What cannot be read is ignored, and what is out of range as well.
    let forgeries = [
        json!({ "schemaVersion": 99 }),
        json!({ "models": [{ "name": "sleepy", "arrivals": [
            { "from": "2026-01-01T00:00:00Z", "intervalSeconds": 600, "rates": "?" },
        ] }] }),
        json!({ "schemaVersion": 1, "models": [{ "name": "sleepy", "serviceSeconds": -1e300, "savings": [
            { "periodSeconds": 86400, "savedSeconds": 1e300 },
        ] }] }),
    ];
    for (index, forgery) in forgeries.iter().enumerate() {
        let fields = json!({ "spec": forgery });
        namespace.merge("pushscalercheckpoint", "torchserve", fields);
        let names = [format!("forged-{index}-a"), format!("forged-{index}-b")];
        let mut pair = Pair::start(&namespace, names.each_ref().map(String::as_str)).await;
        let (_, steps) = pair.decide().await;
        assert!(!steps.join("").contains("expected"), "{forgery}: {steps:?}");
        pair.end("KILL").await;
    }

    namespace.kubectl(&["delete", "pushscaler/torchserve"]);
    let start = Instant::now();
    while !namespace.list("pushscalercheckpoint").is_empty() {
        assert!(start.elapsed() < TIMEOUT, "the checkpoint stays");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn a_write_leaves_nothing_of_an_earlier_target() {
    let namespace = Namespace::create(cluster(), "checkpoint-target");
    permit_election(&namespace);
    namespace.scaled_deployment(1, SPEC).await;
    store(&namespace, "earlier", &learned_days());
    let mut pair = Pair::start(&namespace, ["a", "b"]).await;
    pair.decide().await;
    pair.end("TERM").await;
    let spec = &namespace.get("pushscalercheckpoint", "torchserve")["spec"];
    assert_eq!(spec["scaleTargetRef"]["name"], "torchserve", "{spec:#}");
    assert!(spec["startDelay"].is_null(), "{spec:#}");
}
