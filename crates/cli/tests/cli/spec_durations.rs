//! The CRD's schema and jiff agree on durations.

use jiff::SignedDuration;
use kube::CustomResourceExt as _;
use pushscale_api::PushScaler;
use pushscale_cli::manifest::Definition;

/// A manifest with this text as a target latency and as the duration of a schedule.
fn manifest(text: &str) -> String {
    format!(
        "apiVersion: pushscale.dev/v1alpha1
kind: PushScaler
metadata: {{ name: a, namespace: b }}
spec:
  scaleTargetRef: {{ apiVersion: apps/v1, kind: Deployment, name: a }}
  maxReplicas: 2
  metrics: [ {{ type: QueueLatency, queueLatency: {{ target: {text:?} }} }} ]
  schedules: [ {{ cron: 0 8 * * *, minReplicas: 1, duration: {text:?} }} ]
"
    )
}

/// All pairs of some numbers with units, whatever their order, and others.
fn durations() -> Vec<String> {
    let parts = [
        "1h", "1.5h", "1s", "1.5s", "1ms", "1.5ms", "1µs", "1.5µs", "1ns", "1.5ns",
    ];
    let pairs = parts.map(|first| parts.map(|second| format!("{first}{second}")));
    let others = [
        "90m",
        "1us",
        "1.5us",
        "1h1m1s",
        "1h1m1.5s",
        "1h1.5m1s",
        "1s1m1h",
        "1m1ms1us1ns",
        "",
        "0s",
        "1",
        "s",
        "-1s",
        "1e3s",
        "1.s",
        ".5s",
        "1.5.5s",
        "1.0000000001s",
        "1d",
        "1S",
        "soon",
        "99999999999999999999h",
    ];
    let all = pairs.as_flattened().iter().cloned();
    all.chain(parts.into_iter().chain(others).map(str::to_owned))
        .collect()
}

#[test]
fn the_schema_accepts_exactly_the_durations_in_jiffs_short_form() {
    let crd = serde_json::to_value(PushScaler::crd()).unwrap();
    let definition = Definition::from_crd(&crd).unwrap();
    let check = |text: &str, is_valid: bool| match definition.read(&manifest(text)) {
        Ok(_) => assert!(is_valid, "{text:?}"),
        Err(error) => {
            let message = error.to_string();
            let names_both = message.contains("queueLatency.target")
                && message.contains("schedules[0].duration");
            assert!(!is_valid && names_both, "{text:?}: {message}");
        }
    };
    for text in durations() {
        let parsed = text.parse::<SignedDuration>();
        check(&text, parsed.is_ok_and(|duration| duration.is_positive()));
    }
    // jiff also accepts these forms, which are not documented.
    for text in [
        "1 s",
        "1m 30s",
        "+1s",
        "1sec",
        "2 minutes",
        "PT1S",
        "00:01:00",
    ] {
        assert!(text.parse::<SignedDuration>().is_ok(), "{text:?}");
        check(text, false);
    }
}
