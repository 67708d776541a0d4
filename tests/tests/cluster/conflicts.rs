//! Two autoscalers on one target: Pushscale does not write, and names the other.

use pushscale_tests::fake_pod::Load;
use pushscale_tests::http::sum;
use pushscale_tests::namespace::{Aggregator, Namespace};

use crate::{RATIO, cluster};

async fn count(aggregator: &Aggregator, metric: &str) -> u64 {
    let series = format!("pushscale_aggregator_{metric}");
    sum(&aggregator.metrics().await, &series)
}

/// Returns the number of decisions that held the replicas because of another autoscaler.
async fn count_held(aggregator: &Aggregator) -> u64 {
    count(aggregator, "decisions_total{outcome=\"conflict\"}").await
}

#[tokio::test]
async fn two_pushscalers_on_one_target_hold_until_one_is_deleted() {
    let namespace = Namespace::create(cluster(), "twice");
    namespace.deploy("Deployment", 1).await;
    namespace.scale("one", "apps/v1", "Deployment", "torchserve", RATIO);
    namespace.scale("two", "apps/v1", "Deployment", "torchserve", RATIO);
    let aggregator = Aggregator::start(&namespace).await;
    for (name, other) in [("one", "two"), ("two", "one")] {
        namespace
            .until_condition(name, "AbleToScale", "False/TargetContested")
            .await;
        let text = namespace.kubectl(&["describe", "pushscaler", name]);
        let expected = format!("PushScaler twice/{other} scales the same target");
        assert!(text.contains(&expected), "{text}");
    }
    let mut pods = namespace.run_pods(1).await;
    // Ten decisions see the overload.
    let load = Load::QueueLatency(1.2);
    aggregator
        .push_until(&mut pods, load, || async {
            count(&aggregator, "pushes_total{outcome=\"accepted\"}").await > 0
        })
        .await;
    let before = count_held(&aggregator).await;
    aggregator
        .push_until(&mut pods, load, || async {
            count_held(&aggregator).await >= before + 10
        })
        .await;
    assert_eq!(namespace.replicas(), 1);

    namespace.kubectl(&["delete", "pushscaler", "two"]);
    aggregator
        .push_until(&mut pods, Load::QueueLatency(1.2), || async {
            namespace.replicas() == 4
        })
        .await;
}

#[tokio::test]
async fn a_competing_hpa_is_reported_and_pushscale_stops_writing() {
    let namespace = Namespace::create(cluster(), "hpa");
    namespace.deploy("Deployment", 1).await;
    namespace.kubectl(&[
        "autoscale",
        "deployment",
        "torchserve",
        "--min=1",
        "--max=3",
        "--cpu=80%",
    ]);
    namespace.scale_deployment(RATIO);
    let aggregator = Aggregator::start(&namespace).await;
    namespace
        .until_condition("torchserve", "AbleToScale", "False/TargetContested")
        .await;
    let text = namespace.kubectl(&["describe", "pushscaler", "torchserve"]);
    assert!(
        text.contains("HorizontalPodAutoscaler hpa/torchserve scales the same target"),
        "{text}"
    );
    let mut pods = namespace.run_pods(1).await;

    // Next to the HPA it may report its decisions, as in a migration.
    namespace.patch("torchserve", r#"{"mode":"Recommend"}"#);
    aggregator
        .push_until(&mut pods, Load::QueueLatency(1.2), || async {
            let object = namespace.get("pushscaler", "torchserve");
            Namespace::condition(&object, "AbleToScale") == "True/RecommendOnly"
                && object["status"]["desiredReplicas"] == 4
        })
        .await;
    assert_eq!(namespace.replicas(), 1);
    namespace.patch("torchserve", r#"{"mode":"Apply"}"#);
    namespace
        .until_condition("torchserve", "AbleToScale", "False/TargetContested")
        .await;
    namespace.kubectl(&["delete", "hpa", "torchserve"]);
    aggregator
        .push_until(&mut pods, Load::QueueLatency(1.2), || async {
            namespace.replicas() == 4
        })
        .await;
}

#[tokio::test]
async fn two_targets_that_select_the_same_pods_are_ambiguous() {
    let namespace = Namespace::create(cluster(), "shared");
    namespace.deploy("Deployment", 1).await;
    namespace.apply(
        "apiVersion: apps/v1\nkind: StatefulSet\nmetadata: { name: other, namespace: NAMESPACE }\n\
         spec:\n  replicas: 0\n  serviceName: other\n  selector: { matchLabels: { app: torchserve } }\n  \
         template:\n    metadata: { labels: { app: torchserve } }\n    \
         spec: { containers: [ { name: torchserve, image: none } ] }\n",
    );
    namespace.scale("one", "apps/v1", "Deployment", "torchserve", RATIO);
    namespace.scale("two", "apps/v1", "StatefulSet", "other", "");
    namespace.kubectl(&["scale", "statefulset/other", "--replicas=1"]);
    let aggregator = Aggregator::start(&namespace).await;
    for name in ["one", "two"] {
        namespace
            .until_condition(name, "ScalingActive", "False/AmbiguousSelector")
            .await;
    }
    let page = aggregator.debug_page().await;
    assert!(
        page.contains("the target of PushScaler shared/two selects the same pods"),
        "{page}"
    );
}
