//! Reads lines of JSON.

use std::io::BufRead;

use serde::de::DeserializeOwned;

use super::error::CaseError;

/// Parses each line, for example as a [`Recording`](pushscale_api::recording::Recording), and returns it with its
/// number, counted from 1. Ignores empty lines.
pub fn read_lines<T: DeserializeOwned>(
    text: impl BufRead,
) -> impl Iterator<Item = Result<(usize, T), CaseError>> {
    text.lines().enumerate().filter_map(|(index, text)| {
        let line = index + 1;
        match text {
            Ok(text) if text.trim().is_empty() => None,
            Ok(text) => Some(parse_line(line, &text).map(|parsed| (line, parsed))),
            Err(source) => Some(Err(CaseError::Unreadable { line, source })),
        }
    })
}

/// Parses a line. Its number is for error messages.
///
/// # Errors
///
/// Fails if the line is not JSON, or if a field is missing, unknown or invalid.
pub fn parse_line<T: DeserializeOwned>(line: usize, text: &str) -> Result<T, CaseError> {
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
    use pushscale_api::recording::Recording;

    use super::*;

    #[test]
    fn an_error_in_a_recording_names_line_and_field() {
        let good = r#"{"name":"x","release":"0.1.0","spec":{"scaleTargetRef":{"apiVersion":"apps/v1","kind":"Deployment","name":"x"},"maxReplicas":5,"metrics":[{"type":"QueueLatency","queueLatency":{"target":"7ms"}}]},"steps":[{"facts":[{"atNanos":5,"fact":{"wrote":{"from":1,"to":2}}}],"atNanos":5,"target":{"replicas":2},"expect":{"desired":2}}]}"#;
        parse_line::<Recording>(7, good).unwrap();
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
            let error = parse_line::<Recording>(7, &text).unwrap_err().to_string();
            assert!(error.starts_with("line 7: "), "{error}");
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn lines_are_counted_and_empty_ones_are_ignored() {
        let found: Vec<_> = read_lines::<u32>("\n1\n\n2\nnonsense\n".as_bytes()).collect();
        let lines: Vec<_> = found.iter().map(|line| line.as_ref().ok()).collect();
        assert_eq!(lines, [Some(&(2, 1)), Some(&(4, 2)), None]);
        let error = found[2].as_ref().unwrap_err().to_string();
        assert!(error.starts_with("line 5: "), "{error}");
    }
}
