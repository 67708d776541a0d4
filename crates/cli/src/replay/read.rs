//! Reads cases and recordings from lines of JSON.

use std::io::BufRead;

use pushscale_api::recording::Recording;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::case::Case;
use super::error::CaseError;

/// Reads one case per line and ignores empty lines.
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

/// The content of a line.
#[derive(Clone, Debug)]
pub enum Line {
    /// A recorded HPA.
    Case(Box<Case>),
    /// A recording of an aggregator.
    Recording {
        /// Its line, counted from 1.
        line: usize,
        /// The recording.
        recording: Box<Recording>,
    },
}

/// Reads one case or recording per line and ignores empty lines.
pub fn read_lines(text: impl BufRead) -> impl Iterator<Item = Result<Line, CaseError>> {
    numbered(text, parse_line)
}

/// Parses a line: a recording has a `spec`, a case has a `policy`.
///
/// # Errors
///
/// Fails if the line is not JSON, or if a field is missing, unknown or invalid.
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

/// Parses a case. The line's number is for error messages.
///
/// # Errors
///
/// Fails if the line is not JSON, or if a field is missing, unknown or invalid.
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
    // The line in serde_json's message counts from the start of the text: it is always 1.
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
    fn an_error_in_a_recording_names_line_and_field() {
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
