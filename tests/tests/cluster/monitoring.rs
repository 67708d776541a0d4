//! The dashboard and the alerts, evaluated by a real Prometheus that scrapes a real aggregator.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use pushscale_tests::charts::{alerts, read};
use pushscale_tests::document::Document;
use pushscale_tests::fake_pod::Load;
use pushscale_tests::namespace::{Aggregator, Namespace};
use pushscale_tests::programs;
use pushscale_tests::prometheus::Prometheus;
use serde_json::Value;

use crate::{RATIO, cluster};

/// Far above the target of 7 ms.
const OVERLOAD: Load = Load::Rate(25.0);

#[tokio::test]
async fn every_panel_shows_data_and_every_alert_is_evaluated() {
    let alerts = alerts("monitoring");
    let dashboard: Value =
        serde_json::from_str(&read("pushscale", "files/dashboard.json")).unwrap();
    let namespace = Namespace::create(cluster(), "monitoring");
    namespace.scaled_deployment(1, RATIO).await;
    let aggregator = Aggregator::start(&namespace).await;
    let mut pods = namespace.run_pods(1).await;
    let start = SystemTime::now();
    let prometheus = Prometheus::start(aggregator.admin, &namespace.name, &alerts).await;
    // An increase needs a sample before it.
    let written = "pushscale_aggregator_reaction_seconds_count";
    aggregator
        .push_until(&mut pods, Load::Rate(0.0), || async {
            prometheus.query(written).await == [0.0]
        })
        .await;
    aggregator
        .push_until(&mut pods, OVERLOAD, || async { namespace.replicas() > 1 })
        .await;
    let variables = variables(&dashboard);
    let mut all = Selection::default();
    for variable in &variables {
        all.0.insert(&variable.name, variable.all.clone());
    }
    let expressions = expressions(&dashboard);
    for (title, expression) in &expressions {
        let expression = all.apply(expression);
        // Shown if the test fails.
        println!("{title}: {expression}");
        aggregator
            .push_until(&mut pods, OVERLOAD, || async {
                !prometheus.query(&expression).await.is_empty()
            })
            .await;
    }

    // The values that a variable offers, and then the panels with them.
    let mut chosen = Selection::default();
    for variable in &variables {
        let offered = async |selection: &Selection<'_>| {
            let selector = selection.apply(&variable.selector);
            prometheus.label_values(&selector, &variable.label).await
        };
        let expected = match variable.name.as_str() {
            "namespace" => "monitoring",
            "pushscaler" => "torchserve",
            other => panic!("no panel needs ${other}"),
        };
        for selection in [&all, &chosen] {
            assert_eq!(offered(selection).await, [expected], "${}", variable.name);
        }
        for (name, value) in chosen.others() {
            let none: [&str; 0] = [];
            assert_eq!(offered(&value).await, none, "${} by ${name}", variable.name);
        }
        chosen.0.insert(&variable.name, expected.to_owned());
    }
    for (title, expression) in expressions.iter().filter(|(_, text)| text.contains('$')) {
        let shown = chosen.apply(expression);
        println!("{title}: {shown}");
        aggregator
            .push_until(&mut pods, OVERLOAD, || async {
                !prometheus.query(&shown).await.is_empty()
            })
            .await;
        for (name, other) in chosen.others() {
            let found = prometheus.query(&other.apply(expression)).await;
            assert!(found.is_empty(), "{title} does not filter by ${name}");
        }
    }

    // A rate needs two samples before each of its seconds.
    let sampled = "count_over_time(pushscale_aggregator_pushes_total[10s]) > 5";
    aggregator
        .push_until(&mut pods, OVERLOAD, || async {
            !prometheus.query(sampled).await.is_empty()
        })
        .await;
    imports_a_load(&prometheus, start);
    aggregator
        .push_until(&mut pods, OVERLOAD, || async {
            let evaluated = prometheus.alerts().await;
            evaluated.iter().all(|alert| alert["health"] != "unknown")
        })
        .await;
    let evaluated = prometheus.alerts().await;
    assert_eq!(evaluated.len(), alerts.as_array().unwrap().len());
    for alert in evaluated {
        assert_eq!(alert["health"], "ok", "{alert:#}");
        assert_ne!(alert["state"], "firing", "{alert:#}");
    }
}

/// Runs the command of docs/SIMULATING.md that saves a load, and imports it. The names and times are ours.
fn imports_a_load(prometheus: &Prometheus, since: SystemTime) {
    let page = Document::text("SIMULATING.md");
    let mut code = page.split('`').skip(1).step_by(2);
    let command = code.find(|code| code.starts_with("curl -G ")).unwrap();
    let seconds = |time: SystemTime| time.duration_since(UNIX_EPOCH).unwrap().as_secs();
    let mut script = command.to_owned();
    for (documented, ours) in [
        ("prometheus:9090", prometheus.address().to_string()),
        (
            "nginx_ingress_controller_requests[1m]",
            "pushscale_aggregator_pushes_total[10s]".to_owned(),
        ),
        (
            "start=2026-01-05T00:00:00Z",
            format!("start={}", seconds(since)),
        ),
        (
            "end=2026-01-06T00:00:00Z",
            format!("end={}", seconds(SystemTime::now())),
        ),
        ("step=15", "step=1".to_owned()),
    ] {
        assert!(
            script.contains(documented),
            "{documented} is not in {command}"
        );
        script = script.replace(documented, &ours);
    }
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("prometheus-load");
    fs::create_dir_all(&directory).unwrap();
    let program = programs::command_line();
    let import = format!("{} trace import day.json -o load.csv", program.display());
    let output = Command::new("sh")
        .args(["-eu", "-c", &format!("{script} --silent --fail\n{import}")])
        .current_dir(&directory)
        .output()
        .unwrap();
    assert!(output.status.success(), "{script}\n{import}: {output:?}");
    let load = fs::read_to_string(directory.join("load.csv")).unwrap();
    assert!(load.lines().count() > 2, "{load}");
}

/// A variable of the dashboard: `label_values(SELECTOR, LABEL)`.
struct Variable {
    name: String,
    selector: String,
    label: String,
    /// The value that selects all others.
    all: String,
}

/// The values of variables.
#[derive(Clone, Default)]
struct Selection<'a>(BTreeMap<&'a str, String>);

impl Selection<'_> {
    /// Replaces the variables, as Grafana does.
    fn apply(&self, expression: &str) -> String {
        let mut applied = expression.to_owned();
        for (name, value) in &self.0 {
            applied = applied.replace(&format!("${name}"), value);
        }
        assert!(!applied.contains('$'), "unknown variable: {applied}");
        applied
    }

    /// Returns, for each variable, the selection with a value of it that does not exist.
    fn others(&self) -> Vec<(&str, Self)> {
        let other = |name: &&'_ str| {
            let mut other = self.clone();
            for (_, value) in other.0.iter_mut().filter(|(found, _)| found == &name) {
                *value = "none".to_owned();
            }
            other
        };
        let names = self.0.keys();
        names.map(|name| (*name, other(name))).collect()
    }
}

/// Returns the variables with a query, in order. Each query goes to the data source that the user selects.
fn variables(dashboard: &Value) -> Vec<Variable> {
    let all = dashboard["templating"]["list"].as_array().unwrap();
    let (sources, queries): (Vec<_>, Vec<_>) = all
        .iter()
        .partition(|variable| variable["type"] == "datasource");
    assert_eq!(sources.len(), 1, "{sources:#?}");
    assert_eq!(sources[0]["name"], "datasource");
    assert_eq!(sources[0]["query"], "prometheus");
    let panels = dashboard["panels"].as_array().unwrap().iter();
    let shown = panels.filter(|panel| panel["type"] != "row");
    for user in shown.chain(queries.iter().copied()) {
        assert_eq!(user["datasource"]["uid"], "${datasource}", "{user:#}");
        assert_eq!(user["datasource"]["type"], "prometheus", "{user:#}");
    }
    let parse = |variable: &Value| {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        assert_eq!(variable["type"], "query", "{variable:#}");
        assert_eq!(variable["definition"], variable["query"]["query"]);
        let query = text(&variable["definition"]);
        let parts = query.strip_prefix("label_values(");
        let parts = parts.and_then(|rest| rest.strip_suffix(')')?.rsplit_once(", "));
        let (selector, label) = parts.unwrap_or_else(|| panic!("not label_values: {query}"));
        Variable {
            name: text(&variable["name"]),
            selector: selector.to_owned(),
            label: label.to_owned(),
            all: text(&variable["allValue"]),
        }
    };
    queries.into_iter().map(parse).collect()
}

/// Returns the title of each panel with each of its expressions.
fn expressions(dashboard: &Value) -> Vec<(String, String)> {
    let panels = dashboard["panels"].as_array().unwrap();
    let shown = panels.iter().filter(|panel| panel["type"] != "row");
    let expressions = shown.flat_map(|panel| {
        let targets = panel["targets"].as_array().unwrap();
        assert!(!targets.is_empty(), "{panel:#}");
        targets.iter().map(|target| {
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            (text(&panel["title"]), text(&target["expr"]))
        })
    });
    expressions.collect()
}
