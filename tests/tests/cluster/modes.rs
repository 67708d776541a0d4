//! The settings next to the target: how decisions are applied, and when they are not.

use std::time::{SystemTime, UNIX_EPOCH};

use pushscale_tests::fake_pod::Load;
use pushscale_tests::http;
use pushscale_tests::namespace::{Aggregator, Namespace};

use crate::cluster;

/// A pod has a capacity of about 9 requests per second; a higher rate is an overload.
const AT_1S: &str = "  metrics: [ { type: QueueLatency, queueLatency: { target: 1s } } ]\n";
const OVERLOAD: Load = Load::Rate(25.0);

/// Scales down after two seconds.
const QUICK_DOWN: &str = "  behavior: { scaleDown: { stabilizationWindowSeconds: 2 } }\n";

fn at_1s(more: &str) -> String {
    format!("{AT_1S}{more}")
}

/// Returns the message of a condition of the PushScaler `torchserve`.
fn message(namespace: &Namespace<'_>, kind: &str) -> String {
    let scaler = namespace.get("pushscaler", "torchserve");
    let conditions = scaler["status"]["conditions"].as_array();
    conditions
        .into_iter()
        .flatten()
        .find(|condition| condition["type"] == kind)
        .map_or(String::new(), |found| {
            found["message"].as_str().unwrap().to_owned()
        })
}

fn is(namespace: &Namespace<'_>, kind: &str, expected: &str) -> bool {
    Namespace::condition(&namespace.get("pushscaler", "torchserve"), kind) == expected
}

#[tokio::test]
async fn mode_recommend_reports_without_scaling() {
    let namespace = Namespace::create(cluster(), "recommend");
    let spec = at_1s("  mode: Recommend\n");
    namespace.scaled_deployment(1, &spec).await;
    let aggregator = Aggregator::start(&namespace).await;
    let mut pods = namespace.run_pods(1).await;
    aggregator
        .push_until(&mut pods, OVERLOAD, || async {
            is(&namespace, "AbleToScale", "True/RecommendOnly")
                && namespace.describe().contains("would scale 1 → 5 replicas")
        })
        .await;
    let scaler = namespace.get("pushscaler", "torchserve");
    assert_eq!(scaler["status"]["currentReplicas"], 1);
    assert_eq!(scaler["status"]["desiredReplicas"], 5);
    assert!(scaler["status"]["lastScaleTime"].is_null(), "{scaler:#}");
    assert_eq!(
        message(&namespace, "AbleToScale"),
        "mode is Recommend: would scale to 5 replicas"
    );
    let path = format!("/scalers/{}/torchserve", namespace.name);
    let page = http::get(aggregator.admin, &path).await.body;
    for shown in [
        "would scale 1 → 5 replicas",
        "RecommendOnly",
        "would scale to 5 replicas",
    ] {
        assert!(page.contains(shown), "{shown} is not in\n{page}");
    }
    assert_eq!(namespace.replicas(), 1);

    namespace.patch("torchserve", r#"{"mode":"Apply"}"#);
    aggregator
        .push_until(&mut pods, OVERLOAD, || async { namespace.replicas() == 5 })
        .await;
}

#[tokio::test]
async fn mode_off_does_not_enforce_min_and_max() {
    let namespace = Namespace::create(cluster(), "switched-off");
    // In quotes, since YAML 1.1 reads a bare Off as false.
    namespace.scaled_deployment(9, "  mode: \"Off\"\n").await;
    let aggregator = Aggregator::start(&namespace).await;
    let mut pods = namespace.run_pods(9).await;
    aggregator
        .push_until(&mut pods, OVERLOAD, || async {
            is(&namespace, "ScalingActive", "False/ModeOff")
                && aggregator.debug_page().await.contains("hold: mode is Off")
        })
        .await;
    assert_eq!(namespace.replicas(), 9);
    namespace.patch("torchserve", r#"{"mode":"Apply"}"#);
    namespace
        .until("deployment", "torchserve", "down to 5", |object| {
            object["spec"]["replicas"] == 5
        })
        .await;
}

#[tokio::test]
async fn a_pause_is_reported_and_affects_one_direction_only() {
    let namespace = Namespace::create(cluster(), "pause");
    let spec = at_1s(&format!("{QUICK_DOWN}  pause: ScaleUp\n"));
    namespace.scaled_deployment(2, &spec).await;
    let aggregator = Aggregator::start(&namespace).await;
    let mut pods = namespace.run_pods(2).await;
    let paused = |direction: &'static str| {
        let (namespace, aggregator) = (&namespace, &aggregator);
        move || async move {
            let expected = format!("pause: not scaled {direction}");
            is(namespace, "ScalingLimited", "True/ScalingPaused")
                && message(namespace, "ScalingLimited").contains(&expected)
                && aggregator.debug_page().await.contains(&expected)
        }
    };
    aggregator
        .push_until(&mut pods, OVERLOAD, paused("up"))
        .await;
    assert_eq!(namespace.replicas(), 2);

    namespace.patch("torchserve", r#"{"pause":"ScaleDown"}"#);
    aggregator
        .push_until(&mut pods, OVERLOAD, || async { namespace.replicas() == 5 })
        .await;
    let mut pods = namespace.run_pods(5).await;
    aggregator
        .push_until(&mut pods, Load::Rate(0.1), paused("down"))
        .await;
    assert_eq!(namespace.replicas(), 5);

    namespace.patch("torchserve", r#"{"pause":null}"#);
    aggregator
        .push_until(&mut pods, Load::Rate(0.1), || async {
            namespace.replicas() < 5
        })
        .await;
}

#[tokio::test]
async fn the_fallback_scales_up_after_its_delay_and_never_down() {
    let namespace = Namespace::create(cluster(), "fallback");
    let spec = at_1s("  fallback: { afterSeconds: 3, replicas: 4 }\n");
    namespace.scaled_deployment(1, &spec).await;
    let aggregator = Aggregator::start(&namespace).await;
    let holds = |replicas: u64| {
        let namespace = &namespace;
        move || async move {
            let expected = format!("fallback to at least {replicas} replicas");
            is(namespace, "ScalingActive", "False/FallbackActive")
                && message(namespace, "ScalingActive").contains(&expected)
                && namespace.replicas() == 4
        }
    };
    aggregator
        .push_until(&mut [], Load::Unknown, holds(4))
        .await;
    namespace.patch(
        "torchserve",
        r#"{"fallback":{"afterSeconds":3,"replicas":2}}"#,
    );
    aggregator
        .push_until(&mut [], Load::Unknown, holds(2))
        .await;
    let text = namespace.describe();
    let event = "New size: 4; reason: fallback: no metric can be computed";
    assert!(text.contains(event), "{text}");

    // Once pods report, their readings count.
    let mut pods = namespace.run_pods(4).await;
    aggregator
        .push_until(&mut pods, Load::Rate(1.0), || async {
            is(&namespace, "ScalingActive", "True/ValidMetricFound")
        })
        .await;
}

#[tokio::test]
async fn a_schedule_raises_the_floor_when_its_time_comes() {
    let namespace = Namespace::create(cluster(), "schedule");
    // The next minute that does not start within 15 s.
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let minute = ((now.as_secs() + 15) / 60 + 1) % 60;
    let spec = at_1s(&format!(
        "  schedules: [ {{ cron: '{minute} * * * *', minReplicas: 3, duration: 30m }} ]\n"
    ));
    namespace.scaled_deployment(1, &spec).await;
    let aggregator = Aggregator::start(&namespace).await;
    namespace
        .until_condition("torchserve", "ScalingActive", "False/FailedGetPodsMetric")
        .await;
    assert_eq!(namespace.replicas(), 1, "its time has not come");
    // No pod reports: the loop wakes up by itself.
    aggregator
        .push_until(&mut [], Load::Unknown, || async {
            namespace.replicas() == 3
                && aggregator
                    .debug_page()
                    .await
                    .contains("schedule: at least 3 replicas")
        })
        .await;
    namespace.patch("torchserve", r#"{"schedules":null,"minReplicas":1}"#);
    aggregator
        .push_until(&mut [], Load::Unknown, || async {
            !aggregator.debug_page().await.contains("\"schedule: ")
        })
        .await;
    // The end of a schedule lowers the floor, but does not scale down.
    assert_eq!(namespace.replicas(), 3);
}

#[tokio::test]
async fn an_unknown_time_zone_is_reported() {
    let namespace = Namespace::create(cluster(), "zone");
    let schedule =
        "  schedules: [ { cron: '* * * * *', timezone: Mars/Olympus, minReplicas: 3 } ]\n";
    namespace.scaled_deployment(1, schedule).await;
    let aggregator = Aggregator::start(&namespace).await;
    namespace
        .until_condition("torchserve", "ScalingActive", "False/InvalidSpec")
        .await;
    let expected =
        "spec.schedules[0].timezone is \"Mars/Olympus\": it must be the name of a time zone";
    let text = message(&namespace, "ScalingActive");
    assert!(text.contains(expected), "{text}");
    let page = http::get(aggregator.admin, "/").await.body;
    assert!(page.contains("spec.schedules[0].timezone is"), "{page}");
    assert_eq!(namespace.replicas(), 1);

    let valid =
        r#"{"schedules":[{"cron":"* * * * *","timezone":"Europe/Berlin","minReplicas":3}]}"#;
    namespace.patch("torchserve", valid);
    namespace
        .until("deployment", "torchserve", "up to 3", |object| {
            object["spec"]["replicas"] == 3
        })
        .await;
}

#[tokio::test]
async fn pushscale_stops_writing_after_three_reverts() {
    let namespace = Namespace::create(cluster(), "fought");
    namespace.scaled_deployment(1, &at_1s("")).await;
    let aggregator = Aggregator::start(&namespace).await;
    let mut pods = namespace.run_pods(1).await;
    for _ in 0..3 {
        aggregator
            .push_until(&mut pods, OVERLOAD, || async { namespace.replicas() == 5 })
            .await;
        namespace.kubectl(&["scale", "deployment/torchserve", "--replicas=1"]);
    }
    aggregator
        .push_until(&mut pods, OVERLOAD, || async {
            is(&namespace, "AbleToScale", "False/SizeContested")
                && namespace.describe().contains("Warning  SizeContested")
        })
        .await;
    let text = message(&namespace, "AbleToScale");
    assert!(text.contains("changed the replicas 3 times"), "{text}");
    assert!(text.contains("--show-managed-fields"), "{text}");
    assert_eq!(namespace.replicas(), 1);
}

#[tokio::test]
async fn a_missing_completion_count_makes_the_metrics_incomplete() {
    let namespace = Namespace::create(cluster(), "incomplete");
    namespace.scaled_deployment(1, &at_1s("")).await;
    let aggregator = Aggregator::start(&namespace).await;
    let mut pods = namespace.run_pods(1).await;
    aggregator
        .push_until(&mut pods, Load::RateWithoutCounters(2.0), || async {
            is(
                &namespace,
                "MetricsIncomplete",
                "True/CompletionCountUnavailable",
            )
        })
        .await;
    let text = message(&namespace, "MetricsIncomplete");
    assert!(
        text.contains("allow the sidecar to read the management port"),
        "{text}"
    );
    aggregator
        .push_until(&mut pods, Load::Rate(2.0), || async {
            is(&namespace, "MetricsIncomplete", "False/AllMetricsAvailable")
        })
        .await;
    assert_eq!(namespace.replicas(), 1);
}
