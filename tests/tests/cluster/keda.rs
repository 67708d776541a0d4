//! KEDA's operator and metrics adapter, as released, and the real HPA controller scale by the external scaler.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use pushscale_tests::keda::{Keda, Release, documented_objects};
use pushscale_tests::namespace::{Aggregator, Namespace, install};
use pushscale_tests::test_cluster::{Shape, TestCluster};
use serde_json::{Value, json};

use crate::command_line::pushscale;
use crate::external_metrics::host_address;
use crate::reporting_fleet::ReportingFleet;

/// For readings that are pushed by hand: a queue latency alone decides, at once, in both directions.
const RECOMMEND: &str = "  mode: Recommend\n  algorithm: Ratio\n  \
                         behavior: { scaleDown: { stabilizationWindowSeconds: 0 } }\n";

/// A control plane with KEDA. KEDA serves an API of the whole cluster, so the other tests have another one.
fn setup() -> Option<&'static (TestCluster, Keda)> {
    static SETUP: OnceLock<Option<(TestCluster, Keda)>> = OnceLock::new();
    let start = || {
        let host = host_address()?;
        let release = Release::for_test()?;
        let cluster = TestCluster::start(Shape::ControlPlane).unwrap();
        install(&cluster);
        let keda = release.start(&cluster, host);
        Some((cluster, keda))
    };
    SETUP.get_or_init(start).as_ref()
}

async fn serve(namespace: &Namespace<'_>) -> Aggregator {
    let settings = [
        ("PUSHSCALE_AGGREGATOR_KEDA", "true"),
        ("PUSHSCALE_AGGREGATOR_KEDA_LISTEN", "127.0.0.1:0"),
    ];
    Aggregator::start_with(namespace, &settings).await
}

/// Creates the documented ScaledObject with the aggregator's address, after `change`.
async fn follow(namespace: &Namespace<'_>, aggregator: &Aggregator, change: impl Fn(&mut Value)) {
    let address = aggregator.keda().await.to_string();
    let [documented, mut scaled_object] = documented_objects(&namespace.name, Some(&address));
    // The test has another PushScaler of that name, which needs no measurements but the queue latency.
    namespace
        .cluster
        .api()
        .dry_run(&documented.to_string())
        .unwrap();
    change(&mut scaled_object);
    namespace.apply(&scaled_object.to_string());
}

fn recommend(namespace: &Namespace<'_>, more: &str) {
    let spec = format!("{RECOMMEND}{more}");
    namespace.scale_deployment(&spec);
}

/// Returns the HPA; null until KEDA has created it.
fn hpa(namespace: &Namespace<'_>) -> Value {
    let hpas = namespace.list("hpa");
    hpas.into_iter().next().unwrap_or_default()
}

#[tokio::test]
async fn a_scaled_object_follows_a_pushscaler_that_is_created_later() {
    let Some((cluster, keda)) = setup() else {
        return;
    };
    let namespace = Namespace::create(cluster, "keda-follows");
    let aggregator = serve(&namespace).await;
    namespace.deploy("Deployment", 2).await;
    follow(&namespace, &aggregator, |_| {}).await;
    let fleet = ReportingFleet::push_to(&namespace, &aggregator);
    fleet
        .until("created by KEDA", || hpa(&namespace).is_object())
        .await;
    let external = hpa(&namespace)["spec"]["metrics"][0]["external"].clone();
    assert_eq!(external["metric"]["name"], "s0-torchserve-desired");
    let target = json!({ "type": "AverageValue", "averageValue": "1" });
    assert_eq!(external["target"], target);

    // The value of a metric whose PushScaler is missing is unknown, and the HPA keeps the size.
    let failed = "False/FailedGetExternalMetric";
    let condition = || Namespace::condition(&hpa(&namespace), "ScalingActive");
    fleet.until(failed, || condition() == failed).await;
    assert_eq!(namespace.replicas(), 2);

    recommend(&namespace, "");
    fleet.report(Some(0.014));
    fleet.until("grown", || namespace.replicas() == 5).await;
    assert_eq!(condition(), "True/ValidMetricFound");
    fleet.report(Some(0.0041));
    fleet.until("shrunk", || namespace.replicas() < 5).await;
    // At 7 ms the size is right.
    fleet.report(Some(0.007));
    let current = || {
        let status = hpa(&namespace)["status"].clone();
        let metric = status["currentMetrics"][0]["external"]["current"].clone();
        let replicas = status["currentReplicas"].as_u64();
        (metric["averageValue"].clone(), replicas)
    };
    let is_followed = || current() == (json!("1"), Some(namespace.replicas()));
    fleet.until("followed", is_followed).await;
    let size = namespace.replicas();
    fleet.report(None);
    fleet.until(failed, || condition() == failed).await;
    assert_eq!(namespace.replicas(), size);

    namespace.patch("torchserve", r#"{"mode":"Apply"}"#);
    let doctor = pushscale(&namespace, &["doctor"]);
    let found = String::from_utf8(doctor.stdout).unwrap();
    let finding = "KEDA's ScaledObject torchserve also scales Deployment/torchserve";
    assert!(found.contains(finding), "{found}");
    let log = keda.log();
    assert!(!log.contains("forbidden"), "{log}");
}

#[tokio::test]
async fn a_target_at_zero_replicas_is_started_before_any_pod_reports() {
    let Some((cluster, _keda)) = setup() else {
        return;
    };
    let namespace = Namespace::create(cluster, "keda-starts");
    let aggregator = serve(&namespace).await;
    namespace.deploy("Deployment", 0).await;
    recommend(&namespace, "  minReplicas: 2\n");
    let started_at = Instant::now();
    follow(&namespace, &aggregator, |scaled_object| {
        // KEDA asks once: what starts the target after that is the stream.
        scaled_object["spec"]["pollingInterval"] = json!(3600);
    })
    .await;
    let is_started = |object: &Value| object["spec"]["replicas"].as_u64() >= Some(1);
    let what = "started";
    namespace
        .until("deployment", "torchserve", what, is_started)
        .await;
    report("with its ScaledObject", started_at.elapsed());
    // The HPA adds the rest, still without a reading.
    let is_minimum = |object: &Value| object["spec"]["replicas"] == 2;
    namespace
        .until("deployment", "torchserve", "at its minimum", is_minimum)
        .await;

    let started_at = Instant::now();
    namespace.kubectl(&["scale", "deployment", "torchserve", "--replicas=0"]);
    namespace
        .until("deployment", "torchserve", what, is_started)
        .await;
    report("after it was scaled to zero", started_at.elapsed());
}

/// A ScaledObject that has nothing to do with Pushscale.
const CRON: &str = "
apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata: { name: torchserve, namespace: keda-adopted }
spec:
  scaleTargetRef: { name: torchserve }
  minReplicaCount: 2
  triggers:
    - type: cron
      metadata: { timezone: UTC, start: 0 0 * * *, end: 59 23 * * *, desiredReplicas: '2' }
";

#[tokio::test]
async fn a_switch_from_a_scaled_object_pauses_keda_and_its_undo_resumes_it() {
    let Some((cluster, _keda)) = setup() else {
        return;
    };
    let namespace = Namespace::create(cluster, "keda-adopted");
    namespace.deploy("Deployment", 2).await;
    namespace.apply(CRON);
    let is_running = || hpa(&namespace).is_object();
    namespace
        .until("scaledobject", "torchserve", "run by KEDA", |_| {
            is_running()
        })
        .await;
    let adopt = |arguments: &[&str]| {
        pushscale(
            &namespace,
            &[&["adopt", "scaledobject/torchserve"], arguments].concat(),
        )
    };
    let mode = || namespace.get("pushscaler", "torchserve")["spec"]["mode"].clone();
    let created = adopt(&["--switch", "--target=1s"]);
    let message = String::from_utf8(created.stderr).unwrap();
    assert!(message.contains("was created"), "{message}");
    assert_eq!(mode(), "Recommend");
    // No aggregator runs.
    let switched = adopt(&["--switch", "--force"]);
    assert!(switched.status.success(), "{switched:?}");
    assert_eq!((mode(), hpa(&namespace)), (json!("Apply"), Value::Null));
    let undone = adopt(&["--undo", "--force"]);
    assert!(undone.status.success(), "{undone:?}");
    assert_eq!(mode(), "Recommend");
    namespace
        .until("scaledobject", "torchserve", "run by KEDA again", |_| {
            is_running()
        })
        .await;
}

/// After an error, KEDA 2.21 closes the stream that starts the target.
#[tokio::test]
async fn a_target_whose_value_was_unknown_is_still_started_by_the_stream() {
    let Some((cluster, _keda)) = setup() else {
        return;
    };
    let namespace = Namespace::create(cluster, "keda-starts-again");
    let aggregator = serve(&namespace).await;
    namespace.deploy("Deployment", 2).await;
    recommend(&namespace, "");
    let fleet = ReportingFleet::push_to(&namespace, &aggregator);
    fleet.report(Some(0.007));
    follow(&namespace, &aggregator, |scaled_object| {
        scaled_object["spec"]["pollingInterval"] = json!(3600);
    })
    .await;
    let condition = || Namespace::condition(&hpa(&namespace), "ScalingActive");
    let known = "True/ValidMetricFound";
    fleet.until(known, || condition() == known).await;
    fleet.report(None);
    let unknown = "False/FailedGetExternalMetric";
    fleet.until(unknown, || condition() == unknown).await;
    namespace.kubectl(&["scale", "deployment", "torchserve", "--replicas=0"]);
    fleet.until("started", || namespace.replicas() > 0).await;
}

/// A stream that breaks is an error in KEDA's log.
#[tokio::test]
async fn an_aggregator_that_exits_ends_the_streams_without_an_error() {
    let Some((cluster, keda)) = setup() else {
        return;
    };
    let namespace = Namespace::create(cluster, "keda-streams");
    let mut aggregator = serve(&namespace).await;
    namespace.deploy("Deployment", 0).await;
    recommend(&namespace, "");
    follow(&namespace, &aggregator, |scaled_object| {
        scaled_object["spec"]["pollingInterval"] = json!(3600);
    })
    .await;
    // KEDA has opened both streams once one of them has started the target.
    let is_started = |object: &Value| object["spec"]["replicas"] == 1;
    namespace
        .until("deployment", "torchserve", "started", is_started)
        .await;
    let errors = || -> Vec<String> {
        let log = keda.log();
        let of_streams = log.lines().filter(|line| {
            line.contains(&namespace.name)
                && ["StreamIsActive", "StreamMetricSpec"]
                    .iter()
                    .any(|stream| line.contains(stream))
        });
        of_streams.map(str::to_owned).collect()
    };
    let earlier = errors().len();
    aggregator.signal("TERM");
    aggregator.exited().await;
    // KEDA opens both again, and finds no aggregator.
    let opened = |stream: &str| {
        errors()
            .iter()
            .skip(earlier)
            .any(|line| line.contains(stream))
    };
    let both = |_: &Value| opened("StreamIsActive") && opened("StreamMetricSpec");
    namespace
        .until("scaledobject", "torchserve", "without its scaler", both)
        .await;
    for line in &errors()[earlier..] {
        let is_broken = line.contains("stream error") || line.contains("reading from server");
        assert!(!is_broken, "{line}");
    }
}

/// Prints a time past the test harness. It is not asserted.
fn report(when: &str, took: Duration) {
    use std::io::Write as _;
    let took = took.as_secs_f64();
    writeln!(
        std::io::stderr(),
        "KEDA started a target at zero replicas {took:.1} s {when}"
    )
    .ok();
}
