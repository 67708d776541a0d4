//! Every file in `testdata/why` is a question that a user asks, a scenario in which the question comes up (the language
//! is that of `tests/model.rs`), and after `---` the answer: the decision, a step a line, and the conditions.
//!
//! With `PUSHSCALE_GENERATE=1` the answers are written anew. Read the difference: it is what users will read.

#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    unreachable_pub,
    missing_docs,
    dead_code,
    reason = "a test fails by panicking; its numbers are small; each test uses a part of the fleet"
)]

#[path = "support/fake_fleet.rs"]
mod fake_fleet;
#[path = "support/scenario.rs"]
mod scenario;

use std::fmt::Write as _;
use std::path::Path;
use std::{env, fs};

use fake_fleet::FakeFleet;
use scenario::Scenario;

#[test]
fn every_question_has_its_answer() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/why");
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    assert!(files.len() >= 20, "{} questions", files.len());
    let mut wrong = Vec::new();
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        let (question, kept) = text.split_once("---\n").unwrap_or((&text, ""));
        let found = answer(question).unwrap_or_else(|problem| format!("{problem}\n"));
        if env::var_os("PUSHSCALE_GENERATE").is_some() {
            fs::write(&file, format!("{}\n---\n{found}", question.trim_end())).unwrap();
        } else if kept != found {
            wrong.push(format!("{}\n{found}", file.display()));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

fn answer(question: &str) -> Result<String, String> {
    let mut scenario = Scenario::default();
    for (number, line) in question.lines().enumerate() {
        let line = line.trim();
        if !line.is_empty() && !line.starts_with('#') {
            scenario
                .line(line)
                .map_err(|what| format!("{}: {what}: {line}", number + 1))?;
        }
    }
    Ok(told(&scenario.fleet.ok_or("no pods")?))
}

fn told(fleet: &FakeFleet) -> String {
    let decision = fleet.last();
    let mut text = format!("{}\n", decision.outcome);
    for step in &decision.steps {
        writeln!(text, "  {step}").unwrap();
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
    ] {
        if let Some(condition) = condition {
            let status = if condition.status { "True" } else { "False" };
            let reason = condition.reason.as_str();
            writeln!(text, "{name}={status} {reason}: {}", condition.message).unwrap();
        }
    }
    text
}
