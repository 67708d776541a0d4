//! Values that exist in several places agree.

use std::collections::BTreeSet;

use pushscale_tests::charts::{CHARTS, Helm, name_of, objects, read};
use pushscale_tests::programs::repository;
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

/// The chart grants the aggregator every permission of the plain manifest.
#[test]
fn the_chart_grants_the_permissions_of_the_plain_manifest() {
    let Some(helm) = Helm::for_test() else { return };
    let rendered = rights(&helm.template("pushscale", &json!({})).unwrap());
    let plain = rights(&file("helm/plain/aggregator.yaml"));
    assert!(plain.len() > 10);
    let missing: Vec<_> = plain.difference(&rendered).collect();
    assert!(missing.is_empty(), "the chart does not allow {missing:#?}");
}

#[test]
fn the_chart_and_the_plain_manifest_restrict_patches_in_the_same_way() {
    let Some(helm) = Helm::for_test() else { return };
    let policies = |manifest: &str| -> Vec<Value> {
        let all = objects(manifest).into_iter();
        let kind = "ValidatingAdmissionPolicy";
        all.filter(|object| object["kind"].as_str().unwrap().starts_with(kind))
            .map(|mut object| object["spec"].take())
            .collect()
    };
    let rendered = policies(&helm.template("pushscale", &json!({})).unwrap());
    let plain = policies(&file("helm/plain/aggregator.yaml"));
    assert_eq!((plain.len(), rendered.len()), (4, 4));
    for policy in rendered {
        assert!(plain.contains(&policy), "{policy:#}");
    }
}

/// Returns each permission of the aggregator: in one namespace or all, verb, group, resource, name.
fn rights(manifest: &str) -> BTreeSet<String> {
    let words = |list: &Value| -> Vec<String> {
        let list = list.as_array().into_iter().flatten();
        list.map(|word| word.as_str().unwrap().to_owned()).collect()
    };
    let mut rights = BTreeSet::new();
    for role in objects(manifest) {
        let kind = role["kind"].as_str().unwrap();
        if !["Role", "ClusterRole"].contains(&kind) || !name_of(&role).contains("aggregator") {
            continue;
        }
        for rule in role["rules"].as_array().unwrap() {
            let mut names = words(&rule["resourceNames"]);
            if names.is_empty() {
                names.push("any".to_owned());
            }
            for group in words(&rule["apiGroups"]) {
                for resource in words(&rule["resources"]) {
                    for verb in words(&rule["verbs"]) {
                        rights.extend(
                            names
                                .iter()
                                .map(|name| format!("{kind}: {verb} {resource}.{group} {name}")),
                        );
                    }
                }
            }
        }
    }
    rights
}

fn file(path: &str) -> String {
    std::fs::read_to_string(repository().join(path)).unwrap()
}

/// The source of the aggregator's metrics.
fn aggregator_metrics() -> String {
    ["mod", "live", "scalers", "watches"]
        .map(|name| file(&format!("crates/aggregator/src/metrics/{name}.rs")))
        .concat()
}

#[test]
fn every_alert_queries_existing_metrics_and_has_a_section_in_the_runbook() {
    let alerts: Vec<Value> =
        serde_saphyr::from_str(&read("pushscale", "files/alerts.yaml")).unwrap();
    let runbook = file("docs/RUNBOOK.md");
    let sources = [
        ("pushscale_aggregator_", aggregator_metrics()),
        (
            "pushscale_certificates_",
            file("crates/certificates/src/metrics.rs"),
        ),
        (
            "process_",
            file("crates/daemon/src/process_metrics.rs").replace("\"process_", "\""),
        ),
    ];
    for alert in &alerts {
        let name = alert["alert"].as_str().unwrap();
        assert!(
            runbook.contains(&format!("\n## {name}\n")),
            "no section {name}"
        );
        let expression = alert["expr"].as_str().unwrap();
        let mut metrics = 0;
        for (prefix, source) in &sources {
            for (_, rest) in expression
                .match_indices(prefix)
                .map(|(at, _)| expression.split_at(at))
            {
                let metric = rest[prefix.len()..]
                    .split(|letter: char| letter != '_' && !letter.is_ascii_lowercase())
                    .next()
                    .unwrap()
                    .trim_end_matches("_total")
                    .trim_end_matches("_count")
                    .trim_end_matches("_sum");
                assert!(
                    source.contains(&format!("\"{metric}\"")),
                    "{name}: no metric {metric}"
                );
                metrics += 1;
            }
        }
        assert!(metrics > 0, "{name} queries no metric of ours");
    }
    assert_eq!(runbook.matches("\n## Pushscale").count(), alerts.len());
}
