//! The alerts of the chart fire on what they are for, and on nothing else: promtool evaluates them on the series of a
//! real aggregator and of real certificates, some of them changed as in alerts.yaml.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use pushscale_tests::charts::alerts;
use pushscale_tests::fake_pod::{FakePod, Load};
use pushscale_tests::http::{sum, until};
use pushscale_tests::namespace::{
    Aggregator, Certificates, Namespace, TIMEOUT, permit_token_reviews,
};
use pushscale_tests::prometheus::check_rules;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::certificates::own_cluster;
use crate::tokens::until_answered;
use crate::{RATIO, cluster};

const CASES: &str = include_str!("alerts.yaml");

/// The longest case is a day.
const MINUTES: usize = 1600;

/// A load that needs one pod.
const TARGET: Load = Load::QueueLatency(0.007);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    alert: String,
    series: BTreeMap<String, String>,
    quiet: String,
    fires: Option<String>,
}

#[tokio::test]
async fn every_alert_fires_on_its_failure_and_on_nothing_else() {
    let Some(cluster) = own_cluster() else { return };
    let alerts = alerts("pushscale");
    let cases: Vec<Case> = serde_saphyr::from_str(CASES).unwrap();
    let name = |alert: &Value| alert["alert"].as_str().unwrap().to_owned();
    let all: BTreeSet<_> = alerts.as_array().unwrap().iter().map(name).collect();
    let firing = cases.iter().filter(|case| case.fires.is_some());
    let firing: BTreeSet<_> = firing.map(|case| case.alert.clone()).collect();
    assert_eq!(firing, all, "each alert has a case");

    let certificates = Certificates::start_with(&cluster, &[])
        .await
        .metrics()
        .await;
    let namespace = Namespace::create(&cluster, "alerts");
    namespace.scaled_deployment(1, RATIO).await;
    let token = [("PUSHSCALE_AGGREGATOR_AUTH", "token")];
    let aggregator = Aggregator::start_with(&namespace, &token).await;
    let mut pods = namespace.run_pods(1).await;
    pods[0].token = Some(namespace.token(&pods[0], "pushscale"));
    // Series of rare outcomes appear with the first one.
    until_answered(&mut pods[0], &aggregator, &[503]).await;
    permit_token_reviews(&cluster);
    let mut unknown_pod = unknown_pod(&namespace);
    until_answered(&mut unknown_pod, &aggregator, &[404]).await;
    let mut healthy = Series::default();
    healthy.add("certificates", &certificates, &certificates, 60.0);
    let (before, after, seconds) = healthy_seconds(&aggregator, &mut pods).await;
    healthy.add("aggregator", &before, &after, seconds);

    let mut tests = vec![json!({
        "name": "a healthy installation",
        "interval": "1m",
        "input_series": healthy.inputs(&BTreeMap::new()),
        "promql_expr_test": [{ "expr": ever("ALERTS"), "eval_time": "24h", "exp_samples": [] }],
    })];
    for case in &cases {
        let mut expected = vec![json!({
            "expr": ever("ALERTS{alertstate=\"firing\"}"),
            "eval_time": case.quiet,
            "exp_samples": [],
        })];
        expected.extend(case.fires.as_ref().map(|time| {
            let labels = format!("{{alertname=\"{}\"}}", case.alert);
            json!({
                "expr": "group by (alertname) (ALERTS{alertstate=\"firing\"})",
                "eval_time": time,
                "exp_samples": [{ "labels": labels, "value": 1 }],
            })
        }));
        tests.push(json!({
            "name": format!("{}: {:?}", case.alert, case.series),
            "interval": "1m",
            "input_series": healthy.inputs(&case.series),
            "promql_expr_test": expected,
        }));
    }
    check_rules(&alerts, &json!(tests));
}

/// The alerts on decisions fire only on counters that keep growing.
#[tokio::test]
async fn a_failure_is_counted_as_long_as_it_lasts() {
    let namespace = Namespace::create(cluster(), "lasting-failures");
    namespace.scale("missing", "apps/v1", "Deployment", "missing", RATIO);
    for name in ["contested", "silent"] {
        namespace.apply(&format!(
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{ name: {name}, namespace: NAMESPACE }}\n\
             spec:\n  selector: {{ matchLabels: {{ app: {name} }} }}\n  \
             template:\n    metadata: {{ labels: {{ app: {name} }} }}\n    \
             spec: {{ containers: [ {{ name: torchserve, image: none }} ] }}\n"
        ));
        namespace.scale(name, "apps/v1", "Deployment", name, RATIO);
    }
    namespace.scale("other-client", "apps/v1", "Deployment", "contested", RATIO);
    let aggregator = Aggregator::start(&namespace).await;
    let counts = async || {
        let page = aggregator.metrics().await;
        ["target_unreadable", "conflict", "insufficient_data"]
            .map(|outcome| count_decisions(&page, outcome))
    };
    let before = counts().await;
    // One every 15 s, after two or more at the start.
    until(TIMEOUT, || async {
        let mut all = counts().await.into_iter().zip(before);
        all.all(|(count, before)| count >= before + 4)
    })
    .await;
}

/// Returns an expression for the names of the alerts that have been in a state.
fn ever(selector: &str) -> String {
    format!("group by (alertname) (max_over_time({selector}[2d]))")
}

/// Creates a pod that no PushScaler selects.
fn unknown_pod(namespace: &Namespace<'_>) -> FakePod {
    namespace.apply(
        "apiVersion: v1\nkind: Pod\nmetadata: { name: unknown, namespace: NAMESPACE }\n\
         spec: { containers: [ { name: torchserve, image: none } ] }\n",
    );
    let pod = namespace.get("pod", "unknown");
    let uid = pod["metadata"]["uid"].as_str().unwrap();
    let mut unknown_pod = FakePod::new(&namespace.name, "unknown", uid);
    unknown_pod.token = Some(namespace.token(&unknown_pod, "pushscale"));
    unknown_pod
}

/// Pushes for some seconds, and returns the page of metrics from the beginning and from the end, and the time between
/// them. On a machine that is busy, readings may become stale; then it tries again.
async fn healthy_seconds(aggregator: &Aggregator, pods: &mut [FakePod]) -> (String, String, f64) {
    loop {
        let (start, before) = (Instant::now(), aggregator.metrics().await);
        let enough = count_decisions(&before, "right_size") + 20;
        aggregator
            .push_until(pods, TARGET, || async {
                count_decisions(&aggregator.metrics().await, "right_size") >= enough
            })
            .await;
        let after = aggregator.metrics().await;
        let [stale, none] =
            [&after, &before].map(|page| count_decisions(page, "insufficient_data"));
        if stale == none {
            return (before, after, start.elapsed().as_secs_f64());
        }
    }
}

/// Returns the number of decisions with this outcome on a page of metrics.
fn count_decisions(page: &str, outcome: &str) -> u64 {
    let series = format!("pushscale_aggregator_decisions_total{{outcome=\"{outcome}\"}}");
    sum(page, &series)
}

/// Values by series, and how much they grow in a minute.
#[derive(Default)]
struct Series(BTreeMap<String, (f64, f64)>);

impl Series {
    /// Adds the series of an instance's page, with their growth from an earlier page.
    fn add(&mut self, instance: &str, before: &str, after: &str, seconds: f64) {
        let before = values(before);
        for (series, value) in values(after) {
            let grown = before.get(&series).map_or(0.0, |before| value - before);
            let series = with_target(&series, instance);
            self.0.insert(series, (value, grown * 60.0 / seconds));
        }
    }

    /// Returns all series for promtool, with other values for some.
    ///
    /// # Panics
    /// No instance exports one of these.
    fn inputs(&self, changed: &BTreeMap<String, String>) -> Vec<Value> {
        let mut inputs: BTreeMap<String, String> = BTreeMap::new();
        for (series, (value, growth)) in &self.0 {
            let values = format!("{value}+{growth:.6}x{MINUTES}");
            inputs.insert(series.clone(), values);
        }
        for (series, values) in changed {
            let series = with_target(series, "aggregator");
            assert!(
                self.0.keys().any(|key| exported(key) == exported(&series)),
                "{series} is not exported"
            );
            inputs.insert(series, values.clone());
        }
        let input = |(series, values)| json!({ "series": series, "values": values });
        inputs.into_iter().map(input).collect()
    }
}

/// Returns the values of a page of metrics by series.
fn values(page: &str) -> BTreeMap<String, f64> {
    let series = page.lines().filter(|line| !line.starts_with('#'));
    let parse = |line: &str| {
        let (series, value) = line.rsplit_once(' ').unwrap();
        (series.to_owned(), value.parse().unwrap())
    };
    series.map(parse).collect()
}

/// Adds the labels that Prometheus adds, as the first ones, unless the series has them.
fn with_target(series: &str, instance: &str) -> String {
    let (name, labels) = labels_of(series);
    let (added, own): (Vec<_>, Vec<_>) = labels.into_iter().partition(|label| is_added(label));
    let label = |key: &str, value: &str| {
        let found = added.iter().find(|label| label.starts_with(key));
        found.map_or(format!("{key}\"{value}\""), ToString::to_string)
    };
    let (instance, namespace) = (
        label("instance=", instance),
        label("namespace=", "pushscale"),
    );
    format!("{name}{{{instance},{namespace},{}}}", own.join(","))
}

/// Returns the name and the labels that the program exports.
fn exported(series: &str) -> (&str, Vec<&str>) {
    let (name, mut labels) = labels_of(series);
    labels.retain(|label| !is_added(label));
    (name, labels)
}

fn labels_of(series: &str) -> (&str, Vec<&str>) {
    let (name, labels) = series.split_once('{').unwrap_or((series, ""));
    let labels = labels.trim_end_matches('}').split(',');
    (name, labels.filter(|label| !label.is_empty()).collect())
}

fn is_added(label: &str) -> bool {
    label.starts_with("instance=") || label.starts_with("namespace=")
}
