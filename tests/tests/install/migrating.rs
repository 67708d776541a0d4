//! docs/MIGRATING.md, and how long it takes from nothing to the first reading.

use std::time::Instant;

use pushscale_tests::document::Document;
use pushscale_tests::fleet::{HANG, until};

use crate::fixture::{Stage, replicas, start_load, until_replicas};

/// There is no metrics server here: it finds nothing to go by and leaves the size as it is, whatever comes.
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
    let Some(mut stage) = Stage::set("migrating") else {
        return;
    };
    let installing = Document::read("INSTALL.md");
    let page = Document::read("MIGRATING.md");

    stage.reader.has("hpa.yaml", HPA);
    let began = Instant::now();
    stage.reader.follow(installing.section("Pushscale"), |_| {});
    stage.reader.run(
        "kubectl create namespace models\n\
         kubectl label namespace models pushscale.dev/inject=enabled\n\
         helm install torchserve helm/torchserve --namespace models --values my-values.yaml\n\
         kubectl --namespace models apply -f hpa.yaml",
    );
    let run = stage.reader.blocks_run();
    stage
        .reader
        .follow(page.section("1. Beside the HPA"), |_| {});
    println!(
        "from `helm install` to a fresh reading of every pod: {:.1?}",
        began.elapsed()
    );

    // It says what it would do, and the HPA's size stands.
    let load = start_load(&stage.cluster, &["25:3600"]);
    // 25 requests/s keep 2.6 workers busy, and with three of them requests wait longer than the target.
    until(HANG, "more recommended", || {
        let wanted = "-o=jsonpath={.status.desiredReplicas}";
        let wanted = stage.kubectl(&["get", "pushscaler/torchserve", wanted]);
        wanted.parse::<u32>().unwrap() >= 4
    });
    let conditions = "-o=jsonpath={.status.conditions}";
    let said = stage.kubectl(&["get", "pushscaler/torchserve", conditions]);
    assert!(said.contains("RecommendOnly"), "{said}");
    assert_eq!(replicas(&stage.cluster), 1);
    drop(load);

    stage.reader.follow(page.section("2. Switch"), |_| {});
    let load = start_load(&stage.cluster, &["25:3600"]);
    until_replicas(&stage.cluster, "scaled up", |replicas| replicas >= 4);
    drop(load);

    stage.reader.follow(page.section("3. And back"), |_| {});
    let said = stage.kubectl(&["get", "hpa,pushscaler"]);
    assert!(said.contains("horizontalpodautoscaler"), "{said}");
    assert_eq!(stage.reader.blocks_run(), run + page.commands());
}
