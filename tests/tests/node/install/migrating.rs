//! Follows docs/MIGRATING.md, and measures the time from the installation to the first reading.

use std::time::Instant;

use pushscale_tests::document::Document;
use pushscale_tests::fleet::{TIMEOUT, until};

use super::fixture::{Fixture, replicas, start_load, until_replicas};

/// The cluster has no metrics server, so this HPA never changes the replicas.
const HPA: &str = "\
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: { name: torchserve }
spec:
  scaleTargetRef: { apiVersion: apps/v1, kind: Deployment, name: torchserve }
  minReplicas: 1
  maxReplicas: 5
  metrics: [ { type: Resource, resource: { name: cpu, target: { type: Utilization, averageUtilization: 80 } } } ]
";

#[test]
fn an_hpa_is_observed_replaced_and_restored() {
    let Some(mut fixture) = Fixture::start("migrating") else {
        return;
    };
    let installing = Document::read("INSTALL.md");
    let page = Document::read("MIGRATING.md");

    fixture.reader.write("hpa.yaml", HPA);
    let start = Instant::now();
    fixture
        .reader
        .follow(installing.section("Pushscale"), |_| {});
    fixture.reader.run(
        "kubectl create namespace models\n\
         kubectl label namespace models pushscale.dev/inject=enabled\n\
         helm install torchserve helm/torchserve --namespace models --values my-values.yaml\n\
         kubectl --namespace models apply -f hpa.yaml",
    );
    let run = fixture.reader.blocks_run();
    fixture
        .reader
        .follow(page.section("1. Run alongside the HPA"), |_| {});
    println!(
        "from `helm install` to a fresh reading of every pod: {:.1?}",
        start.elapsed()
    );

    // Pushscale reports its decision, and the replicas stay.
    let load = start_load(&fixture.cluster, &["25:3600"]);
    // 25 requests/s keep 2.6 workers busy, and with three of them requests wait longer than the target.
    until(TIMEOUT, "more recommended", || {
        let wanted = "-o=jsonpath={.status.desiredReplicas}";
        let wanted = fixture.kubectl(&["get", "pushscaler/torchserve", wanted]);
        wanted.parse::<u32>().unwrap() >= 4
    });
    let conditions = "-o=jsonpath={.status.conditions}";
    let output = fixture.kubectl(&["get", "pushscaler/torchserve", conditions]);
    assert!(output.contains("RecommendOnly"), "{output}");
    assert_eq!(replicas(&fixture.cluster), 1);
    drop(load);

    fixture.reader.follow(page.section("2. Switch"), |_| {});
    let load = start_load(&fixture.cluster, &["25:3600"]);
    until_replicas(&fixture.cluster, "scaled up", |replicas| replicas >= 4);
    drop(load);

    fixture.reader.follow(page.section("3. Undo"), |_| {});
    let output = fixture.kubectl(&["get", "hpa,pushscaler"]);
    assert!(output.contains("horizontalpodautoscaler"), "{output}");
    assert_eq!(fixture.reader.blocks_run(), run + page.commands());
}
