//! The format of a recorded case.

use std::collections::BTreeMap;
use std::io::BufRead;

use pushscale_api::Behavior;
use pushscale_api::recording::RecordedPhase;
use pushscale_cli::replay::{CaseError, parse_line, read_lines};
use pushscale_decision::Phase;
use serde::Deserialize;
use serde::de::{Deserializer, Error, IgnoredAny};
use serde_json::Value;

/// The recorded passes of one autoscaler, from its creation on.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Case {
    /// Its line in the file, counted from 1.
    #[serde(skip)]
    pub line: usize,
    /// What it shows, in kebab-case.
    pub name: String,
    /// The policy at the start.
    pub policy: CasePolicy,
    /// The flags of the controller that decided.
    pub controller: Controller,
    /// All passes, in order.
    pub steps: Vec<Step>,
}

/// A policy with one metric without a name (`targetMilli`), or several (`metrics`).
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CasePolicy {
    /// The minimum replica count, 1 or more.
    pub min_replicas: i32,
    /// The maximum replica count.
    pub max_replicas: i32,
    /// The target for the mean over the pods, in thousandths of the metric's unit.
    pub target_milli: Option<i64>,
    /// Instead of `targetMilli`: the metrics with their targets.
    #[serde(default)]
    pub metrics: Vec<CaseMetric>,
    /// The behavior as the user wrote it. Absent is not the same as empty.
    #[serde(default, deserialize_with = "strict_behavior")]
    pub behavior: Option<Behavior>,
}

/// One metric of several.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CaseMetric {
    /// The name under which pods report it.
    pub name: String,
    /// The target for the mean over the pods, in thousandths of the metric's unit.
    pub target_milli: i64,
}

/// The flags of the controller.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Controller {
    /// How far the ratio may be from 1 without a change, in thousandths.
    pub tolerance_milli: u32,
    /// The stabilization window for scaling down, in seconds.
    pub downscale_stabilization_seconds: u64,
    /// The time between two passes, in seconds. It is not used: each step has its time.
    pub sync_seconds: IgnoredAny,
}

/// One pass: its inputs and the decision.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Step {
    /// Seconds since the autoscaler was created.
    pub at: f64,
    /// Whether the controller restarted just before and lost its memory.
    #[serde(default)]
    pub restart: bool,
    /// The new policy, if it changes.
    pub policy: Option<CasePolicy>,
    /// The replica count that another client set just before.
    pub spec_replicas: Option<u32>,
    /// All pods that match the target's selector.
    pub pods: Vec<CasePod>,
    /// The fault in this pass.
    pub fault: Option<Fault>,
    /// The names of the metrics that the metrics API does not have in this pass.
    #[serde(default)]
    pub metric_fault: Vec<String>,
    /// The recorded decision.
    pub expect: Expect,
}

/// One pod and its measurements: `valueMilli` for one metric without a name, `valuesMilli` for several. Null or absent
/// means no measurement.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CasePod {
    /// Its name, unique in the step.
    pub name: String,
    /// `status.phase`.
    #[serde(with = "RecordedPhase")]
    pub phase: Phase,
    /// The status of its Ready condition.
    pub ready: bool,
    /// Whether it has a deletion timestamp.
    pub deleting: bool,
    /// Its value of the one metric, in thousandths of the metric's unit.
    pub value_milli: Option<i64>,
    /// Its value of each metric.
    #[serde(default)]
    pub values_milli: BTreeMap<String, Option<i64>>,
}

/// A fault of the cluster during a pass.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub enum Fault {
    /// The target's kind cannot be mapped.
    KindUnknown,
    /// The target does not exist.
    TargetMissing,
    /// The scale has no selector.
    SelectorEmpty,
    /// The scale's selector does not parse.
    SelectorInvalid,
    /// Another autoscaler selects the same pods.
    SelectorShared,
    /// The first write of the replica count fails with a conflict.
    WriteConflictOnce,
    /// Every write fails with a conflict.
    WriteConflictAlways,
    /// The write is forbidden.
    WriteRejected,
}

/// The recorded decision of a pass.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Expect {
    /// The target's replica count after the pass.
    pub desired: u32,
    /// Whether the replica count was written.
    pub patched: bool,
    /// `status.desiredReplicas` where it differs. It is not compared: the engine does not keep one.
    #[serde(default)]
    pub status_desired: IgnoredAny,
    /// All conditions after the pass, as `Status/Reason`.
    pub conditions: BTreeMap<String, String>,
}

/// Reads one case per line and ignores empty lines.
pub fn read_cases(text: impl BufRead) -> impl Iterator<Item = Result<Case, CaseError>> {
    read_lines(text).map(|line| line.map(|(line, case)| Case { line, ..case }))
}

/// Parses a case. The line's number is for error messages.
///
/// # Errors
///
/// Fails if the line is not JSON, or if a field is missing, unknown or invalid.
pub fn parse_case(line: usize, text: &str) -> Result<Case, CaseError> {
    parse_line(line, text).map(|case| Case { line, ..case })
}

/// Deserializes a behavior without unknown fields. The API server drops them, and so does the type; in a case they are
/// errors.
fn strict_behavior<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Behavior>, D::Error> {
    let Some(written) = Option::<Value>::deserialize(from)? else {
        return Ok(None);
    };
    let behavior = Behavior::deserialize(&written).map_err(D::Error::custom)?;
    let deserialized = serde_json::to_value(&behavior).map_err(D::Error::custom)?;
    match unknown_field(&written, &deserialized) {
        Some(field) => Err(D::Error::custom(format!("unknown field {field}"))),
        None => Ok(Some(behavior)),
    }
}

/// Returns the path of a field that was written but not deserialized.
fn unknown_field(written: &Value, deserialized: &Value) -> Option<String> {
    match (written, deserialized) {
        (Value::Object(written), Value::Object(deserialized)) => {
            written
                .iter()
                .find_map(|(name, value)| match deserialized.get(name) {
                    None if value.is_null() => None,
                    None => Some(name.clone()),
                    Some(known) => {
                        unknown_field(value, known).map(|below| format!("{name}.{below}"))
                    }
                })
        }
        (Value::Array(written), Value::Array(deserialized)) => written
            .iter()
            .zip(deserialized)
            .enumerate()
            .find_map(|(index, (value, known))| {
                unknown_field(value, known).map(|below| format!("[{index}].{below}"))
            }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEP: &str = r#"{"at":0,"specReplicas":1,"pods":[{"name":"a","phase":"Running","ready":true,"deleting":false,"valueMilli":1}],"expect":{"desired":1,"patched":false,"conditions":{}}}"#;

    fn case(policy: &str, step: &str) -> String {
        format!(
            r#"{{"name":"x","policy":{policy},"controller":{{"toleranceMilli":100,"downscaleStabilizationSeconds":0,"syncSeconds":15}},"steps":[{step}]}}"#
        )
    }

    #[test]
    fn an_error_names_line_and_field() {
        let policy = r#"{"minReplicas":1,"maxReplicas":9,"targetMilli":1000}"#;
        let cases = [
            (
                case(policy, &STEP.replace("Running", "Sleeping")),
                "steps[0].pods[0].phase: unknown variant `Sleeping`",
            ),
            (
                case(policy, &STEP.replace("\"at\"", "\"when\"")),
                "steps[0].when: unknown field `when`",
            ),
            (
                case(&policy.replace("1000", "\"7ms\""), STEP),
                "policy.targetMilli: invalid type: string \"7ms\"",
            ),
            (
                case(
                    r#"{"minReplicas":1,"maxReplicas":9,"targetMilli":1,"behavior":{"scaleUp":{"policy":[]}}}"#,
                    STEP,
                ),
                "policy.behavior: unknown field scaleUp.policy",
            ),
            ("{\"name\":".to_owned(), "EOF while parsing"),
            (
                case(policy, STEP) + "}",
                "after the case: trailing characters",
            ),
        ];
        for (text, expected) in cases {
            let error = parse_case(7, &text).unwrap_err().to_string();
            assert!(error.starts_with("line 7: "), "{error}");
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn lines_are_counted_and_empty_ones_are_ignored() {
        let good = case(r#"{"minReplicas":1,"maxReplicas":9,"targetMilli":1}"#, STEP);
        let text = format!("\n{good}\n\n{good}\nnonsense\n");
        let found: Vec<_> = read_cases(text.as_bytes()).collect();
        let lines: Vec<_> = found
            .iter()
            .map(|case| case.as_ref().map(|case| case.line).ok())
            .collect();
        assert_eq!(lines, [Some(2), Some(4), None]);
        let error = found[2].as_ref().unwrap_err().to_string();
        assert!(error.starts_with("line 5: "), "{error}");
    }
}
