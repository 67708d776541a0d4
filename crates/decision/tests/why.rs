//! Compares the explanations of decisions with the files in `testdata/why`.
//!
//! A file is named after a user's question. It contains a scenario in the language of `tests/model.rs`, and after `---`
//! the expected explanation and conditions. `PUSHSCALE_GENERATE=1` rewrites the expectations; review the changes,
//! because users read these texts.

#![cfg(test)]

#[path = "support/fake_fleet.rs"]
mod fake_fleet;
#[path = "../../daemon/tests/support/golden.rs"]
mod golden;
#[path = "support/scenario.rs"]
mod scenario;

use std::fmt::Write as _;
use std::fs;

use fake_fleet::FakeFleet;
use scenario::Scenario;

#[test]
fn explanations_match_the_expected_texts() {
    let mut wrong = Vec::new();
    for file in golden::files("testdata/why", "", 20) {
        let text = fs::read_to_string(&file).unwrap();
        let (scenario, _) = text.split_once("---\n").unwrap_or((&text, ""));
        let found = explain(scenario).unwrap_or_else(|problem| format!("{problem}\n"));
        let whole = format!("{}\n---\n{found}", scenario.trim_end());
        if !golden::matches(&file, &whole) {
            wrong.push(format!("{}\n{found}", file.display()));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

fn explain(text: &str) -> Result<String, String> {
    let mut scenario = Scenario::default();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if !line.is_empty() && !line.starts_with('#') {
            scenario
                .line(line)
                .map_err(|what| format!("{}: {what}: {line}", number + 1))?;
        }
    }
    Ok(describe(&scenario.fleet.ok_or("no pods")?))
}

fn describe(fleet: &FakeFleet) -> String {
    let decision = fleet.last();
    let mut text = format!("{}\n", decision.outcome);
    for step in &decision.steps {
        writeln!(text, "  {step}").unwrap();
    }
    let alternatives = decision.alternatives();
    for (label, lines) in [
        ("not more", alternatives.not_more),
        ("more if", alternatives.more_if),
        ("not fewer", alternatives.not_fewer),
        ("fewer if", alternatives.fewer_if),
    ] {
        for line in lines {
            writeln!(text, "{label}: {line}").unwrap();
        }
    }
    let conditions = &decision.conditions;
    for (name, condition) in [
        ("AbleToScale", &conditions.able_to_scale),
        ("ScalingActive", &conditions.scaling_active),
        ("ScalingLimited", &conditions.scaling_limited),
        ("Fresh", &conditions.fresh),
        ("MetricsIncomplete", &conditions.metrics_incomplete),
        ("Stuck", &conditions.stuck),
        ("TargetReachable", &conditions.target_reachable),
        ("PodOutlier", &conditions.pod_outlier),
        ("LoadUneven", &conditions.load_uneven),
        ("DemandVanished", &conditions.demand_vanished),
        ("OutsideEnvelope", &conditions.outside_envelope),
    ] {
        if let Some(condition) = condition {
            let status = if condition.status { "True" } else { "False" };
            let reason = condition.reason.as_str();
            writeln!(text, "{name}={status} {reason}: {}", condition.message).unwrap();
        }
    }
    text
}
