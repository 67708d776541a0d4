//! From lines of JSON to cases.

use std::io::BufRead;

use pushscale_api::Behavior;
use pushscale_api::recording::Recording;
use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer, Error};
use serde_json::Value;

use super::case::Case;
use super::error::CaseError;

/// Reads a case a line; empty lines are passed over.
pub fn read_cases(text: impl BufRead) -> impl Iterator<Item = Result<Case, CaseError>> {
    numbered(text, parse_case)
}

fn numbered<T>(
    text: impl BufRead,
    parse: fn(usize, &str) -> Result<T, CaseError>,
) -> impl Iterator<Item = Result<T, CaseError>> {
    text.lines().enumerate().filter_map(move |(index, line)| {
        let number = index + 1;
        match line {
            Ok(line) if line.trim().is_empty() => None,
            Ok(line) => Some(parse(number, &line)),
            Err(source) => Some(Err(CaseError::Unreadable {
                line: number,
                source,
            })),
        }
    })
}

/// What a line of a file holds.
#[derive(Clone, Debug)]
pub enum Line {
    /// What an HPA saw and decided.
    Case(Box<Case>),
    /// What an aggregator was told and decided.
    Recording {
        /// Its line, from 1.
        line: usize,
        /// The recording.
        recording: Box<Recording>,
    },
}

/// Reads a case or a recording a line; empty lines are passed over.
pub fn read_lines(text: impl BufRead) -> impl Iterator<Item = Result<Line, CaseError>> {
    numbered(text, parse_line)
}

/// Reads what one line holds: a recording has a `spec`, a case has a `policy`.
///
/// # Errors
/// It is no JSON, a field is missing or unknown, or holds what it cannot.
pub fn parse_line(line: usize, text: &str) -> Result<Line, CaseError> {
    #[derive(Deserialize)]
    struct Kind {
        spec: Option<serde::de::IgnoredAny>,
    }
    let kind = serde_json::from_str::<Kind>(text).ok();
    if kind.is_none_or(|kind| kind.spec.is_none()) {
        return parse_case(line, text).map(|case| Line::Case(Box::new(case)));
    }
    let recording = parse(line, text)?;
    Ok(Line::Recording {
        line,
        recording: Box::new(recording),
    })
}

/// Reads the case in one line, whose number is for messages.
///
/// # Errors
/// It is no JSON, a field is missing or unknown, or holds what it cannot.
pub fn parse_case(line: usize, text: &str) -> Result<Case, CaseError> {
    let mut case: Case = parse(line, text)?;
    case.line = line;
    Ok(case)
}

fn parse<T: DeserializeOwned>(line: usize, text: &str) -> Result<T, CaseError> {
    let mut json = serde_json::Deserializer::from_str(text);
    let found = serde_path_to_error::deserialize(&mut json)
        .map_err(|error| format_error(line, error.path().to_string(), error.inner()))?;
    json.end()
        .map_err(|error| format_error(line, "after the case".to_owned(), &error))?;
    Ok(found)
}

fn format_error(line: usize, field: String, error: &serde_json::Error) -> CaseError {
    // The line in serde_json's message is that within the text, always 1.
    let text = error.to_string();
    let problem = text
        .split_once(" at line ")
        .map_or(text.as_str(), |(problem, _)| problem);
    CaseError::Format {
        line,
        field,
        problem: format!("{problem} (column {})", error.column()),
    }
}

/// A behavior in which nothing is unknown. The API server drops unknown fields, and so does the type; in a
/// case they are mistakes.
pub(super) fn strict_behavior<'de, D: Deserializer<'de>>(
    from: D,
) -> Result<Option<Behavior>, D::Error> {
    let Some(written) = Option::<Value>::deserialize(from)? else {
        return Ok(None);
    };
    let behavior = Behavior::deserialize(&written).map_err(D::Error::custom)?;
    let understood = serde_json::to_value(&behavior).map_err(D::Error::custom)?;
    match unknown_field(&written, &understood) {
        Some(field) => Err(D::Error::custom(format!("unknown field {field}"))),
        None => Ok(Some(behavior)),
    }
}

/// The path of a field that is written and was not understood.
fn unknown_field(written: &Value, understood: &Value) -> Option<String> {
    match (written, understood) {
        (Value::Object(written), Value::Object(understood)) => {
            written
                .iter()
                .find_map(|(name, value)| match understood.get(name) {
                    None if value.is_null() => None,
                    None => Some(name.clone()),
                    Some(known) => {
                        unknown_field(value, known).map(|below| format!("{name}.{below}"))
                    }
                })
        }
        (Value::Array(written), Value::Array(understood)) => written
            .iter()
            .zip(understood)
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
    fn a_mistake_is_told_by_line_and_field() {
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
    fn a_mistake_in_a_recording_is_told_by_line_and_field() {
        let good = r#"{"name":"x","release":"0.1.0","spec":{"scaleTargetRef":{"apiVersion":"apps/v1","kind":"Deployment","name":"x"},"maxReplicas":5,"metrics":[{"type":"QueueLatency","queueLatency":{"target":"7ms"}}]},"steps":[{"facts":[{"atNanos":5,"fact":{"wrote":{"from":1,"to":2}}}],"atNanos":5,"target":{"replicas":2},"expect":{"desired":2}}]}"#;
        assert!(matches!(parse_line(7, good), Ok(Line::Recording { .. })));
        let cases = [
            ("\"wrote\"", "\"writ\"", "steps[0].facts[0].fact"),
            (
                "\"atNanos\":5,\"target\"",
                "\"target\"",
                "steps[0]: missing field `atNanos`",
            ),
            (
                "\"replicas\":2",
                "\"replicas\":-2",
                "steps[0].target.replicas: invalid value",
            ),
            (
                "\"desired\"",
                "\"wanted\"",
                "steps[0].expect.wanted: unknown field",
            ),
            ("\"steps\"", "\"step\"", "step: unknown field"),
        ];
        for (part, wrong, expected) in cases {
            let text = good.replace(part, wrong);
            let error = parse_line(7, &text).unwrap_err().to_string();
            assert!(error.starts_with("line 7: "), "{error}");
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn lines_are_counted_and_empty_ones_passed_over() {
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
