//! What stands in several places is the same in all of them.

use pushscale_tests::charts::{CHARTS, Helm, name_of, objects, read};
use serde_json::{Value, json};

#[test]
fn charts_and_images_have_the_version_of_the_programs() {
    for chart in CHARTS {
        let about: Value = serde_saphyr::from_str(&read(chart, "Chart.yaml")).unwrap();
        assert_eq!(about["version"], env!("CARGO_PKG_VERSION"), "{chart}");
    }
    let about: Value = serde_saphyr::from_str(&read("pushscale", "Chart.yaml")).unwrap();
    assert_eq!(about["appVersion"], env!("CARGO_PKG_VERSION"));
    let values: Value = serde_saphyr::from_str(&read("torchserve", "values.yaml")).unwrap();
    assert_eq!(
        values["pushscale"]["image"]["tag"],
        env!("CARGO_PKG_VERSION")
    );
}

/// Without TLS, tokens and marks on pods, the chart gives the aggregator the very rights of the plain manifest.
#[test]
fn the_plain_manifest_and_the_chart_give_the_same_rights() {
    let Some(helm) = Helm::for_test() else { return };
    let values = json!({
        "tls": { "mode": "disabled" }, "auth": "none", "injector": { "enabled": false },
        "aggregator": { "podDeletionCost": false },
    });
    let rendered = objects(&helm.template("pushscale", &values).unwrap());
    let plain = std::fs::read_to_string(
        pushscale_tests::programs::repository().join("helm/plain/aggregator.yaml"),
    )
    .unwrap();
    let of = |objects: &[Value]| {
        let roles: Vec<_> = objects
            .iter()
            .filter(|object| name_of(object).contains("Role/"))
            .cloned()
            .collect();
        let [role] = roles.try_into().unwrap();
        role["rules"].clone()
    };
    assert_eq!(of(&rendered), of(&objects(&plain)));
}

#[test]
fn the_dashboard_asks_for_metrics_that_there_are() {
    let dashboard: Value =
        serde_json::from_str(&read("pushscale", "files/dashboard.json")).unwrap();
    let source = std::fs::read_to_string(
        pushscale_tests::programs::repository().join("crates/aggregator/src/metrics.rs"),
    )
    .unwrap();
    let mut count = 0;
    for panel in dashboard["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().unwrap() {
            let expression = target["expr"].as_str().unwrap();
            let (_, name) = expression.split_once("pushscale_aggregator_").unwrap();
            let end = name
                .find(|letter: char| letter != '_' && !letter.is_ascii_lowercase())
                .unwrap();
            let name = name[..end]
                .trim_end_matches("_total")
                .trim_end_matches("_bucket");
            assert!(source.contains(&format!("\"{name}\"")), "no metric {name}");
            count += 1;
        }
    }
    assert_eq!(count, 10);
}
