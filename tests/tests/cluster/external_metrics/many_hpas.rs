//! A hundred HPAs read external metrics. Prints how long the answers took; BENCHMARKS.md has the figures.

use std::time::{Duration, Instant};

use pushscale_tests::http;
use pushscale_tests::namespace::{Certificates, Namespace, TIMEOUT};

use super::{CERTIFICATES, Setup};
use crate::reporting_fleet::ReportingFleet;

/// HPAs of one namespace, each of a Deployment with a PushScaler of its own.
const HPAS: usize = 100;

fn scaled_by_an_hpa(name: &str) -> String {
    format!(
        "
apiVersion: apps/v1
kind: Deployment
metadata: {{ name: {name}, namespace: NAMESPACE }}
spec:
  replicas: 1
  selector: {{ matchLabels: {{ model: {name} }} }}
  template:
    metadata: {{ labels: {{ app: torchserve, model: {name} }} }}
    spec: {{ containers: [ {{ name: torchserve, image: none }} ] }}
---
apiVersion: pushscale.dev/v1alpha1
kind: PushScaler
metadata: {{ name: {name}, namespace: NAMESPACE }}
spec:
  mode: Recommend
  algorithm: Ratio
  scaleTargetRef: {{ apiVersion: apps/v1, kind: Deployment, name: {name} }}
  minReplicas: 1
  maxReplicas: 5
  metrics: [ {{ type: QueueLatency, queueLatency: {{ target: 7ms }} }} ]
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {{ name: {name}, namespace: NAMESPACE }}
spec:
  scaleTargetRef: {{ apiVersion: apps/v1, kind: Deployment, name: {name} }}
  minReplicas: 1
  maxReplicas: 5
  metrics:
    - type: External
      external:
        metric: {{ name: ts_queue_latency_microseconds, selector: {{ matchLabels: {{ pushscaler: {name} }} }} }}
        target: {{ type: Value, value: 7000000m }}
---
"
    )
}

#[tokio::test]
async fn a_hundred_hpas_read_their_metrics() {
    let Some(setup) = Setup::start() else { return };
    let namespace = Namespace::create(&setup.cluster, "models");
    let _certificates = Certificates::start_with(&setup.cluster, &CERTIFICATES).await;
    let aggregator = setup.serve(&namespace).await;
    let names: Vec<String> = (0..HPAS).map(|number| format!("model-{number}")).collect();
    let objects: String = names.iter().map(|name| scaled_by_an_hpa(name)).collect();
    namespace.apply(&objects);
    let fleet = ReportingFleet::push_to(&namespace, &aggregator);
    // Within the HPA's tolerance of the target, so that the replicas stay.
    fleet.report(Some(0.007));
    let active = || {
        let hpas = namespace.list("hpa");
        hpas.iter()
            .filter(|hpa| Namespace::condition(hpa, "ScalingActive") == "True/ValidMetricFound")
            .count()
    };
    fleet.until("all active", || active() == HPAS).await;
    // Each HPA reads its metric at least twice more.
    let answered = async |le: &str| {
        let series = format!(
            "pushscale_aggregator_external_metric_seconds_bucket{{le=\"{le}\",outcome=\"succeeded\"}}"
        );
        http::sum::<usize>(&aggregator.metrics().await, &series)
    };
    let succeeded = answered("+Inf").await;
    let start = Instant::now();
    while answered("+Inf").await < succeeded + 2 * HPAS {
        assert!(start.elapsed() < TIMEOUT, "{}", aggregator.metrics().await);
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    fleet.until("still active", || active() == HPAS).await;
    println!("requests for an external metric, with their authorization, from {HPAS} HPAs:");
    for le in ["0.001", "0.005", "0.01", "0.05", "+Inf"] {
        println!("  within {le} s: {}", answered(le).await);
    }
}
