//! The dashboard and the alerts, evaluated by a real Prometheus that scrapes a real aggregator.

use pushscale_tests::charts::read;
use pushscale_tests::fake_pod::Load;
use pushscale_tests::namespace::{Aggregator, Namespace};
use pushscale_tests::prometheus::Prometheus;
use serde_json::Value;

use crate::{RATIO, cluster};

/// Far above the target of 7 ms.
const OVERLOAD: Load = Load::Rate(25.0);

#[tokio::test]
async fn every_panel_shows_data_and_every_alert_is_evaluated() {
    let alerts: Value = serde_saphyr::from_str(&read("pushscale", "files/alerts.yaml")).unwrap();
    let dashboard: Value =
        serde_json::from_str(&read("pushscale", "files/dashboard.json")).unwrap();
    let namespace = Namespace::create(cluster(), "monitoring");
    namespace.scaled_deployment(1, RATIO).await;
    let aggregator = Aggregator::start(&namespace).await;
    let mut pods = namespace.run_pods(1).await;
    let prometheus = Prometheus::start(aggregator.admin, &alerts).await;
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
    for (title, expression) in expressions(&dashboard) {
        // Shown if the test fails.
        println!("{title}: {expression}");
        aggregator
            .push_until(&mut pods, OVERLOAD, || async {
                !prometheus.query(&expression).await.is_empty()
            })
            .await;
    }

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

/// Returns the title of each panel with each of its expressions, for all PushScalers.
fn expressions(dashboard: &Value) -> Vec<(String, String)> {
    let panels = dashboard["panels"].as_array().unwrap();
    let shown = panels.iter().filter(|panel| panel["type"] != "row");
    let expressions = shown.flat_map(|panel| {
        let targets = panel["targets"].as_array().unwrap();
        assert!(!targets.is_empty(), "{panel:#}");
        targets.iter().map(|target| {
            let expression = target["expr"].as_str().unwrap();
            let all = expression
                .replace("$namespace", ".*")
                .replace("$pushscaler", ".*");
            (panel["title"].as_str().unwrap().to_owned(), all)
        })
    });
    expressions.collect()
}
