//! Recorded loads.
//!
//! A trace is CSV: the header `t_seconds,requests`, then a line for every second from 0, with the number of requests
//! that arrived in it.
//!
//! ```csv
//! t_seconds,requests
//! 0,42
//! 1,54
//! ```

use std::fs;
use std::path::Path;

use crate::input_errors::InputErrors;
use crate::quantity::{LONGEST, MOST_REQUESTS};

const HEADER: &str = "t_seconds,requests";

/// Maximum size of a trace, in bytes. A trace of a month is smaller.
const LARGEST_FILE: u64 = 64 << 20;

/// Reads a trace from a file.
///
/// # Errors
/// The file cannot be read, or is not a valid trace.
pub fn read_trace(file: &Path) -> Result<Vec<u32>, InputErrors> {
    let name = file.display().to_string();
    let unreadable = |error: std::io::Error| InputErrors::one(name.as_str(), error.to_string());
    let size = fs::metadata(file).map_err(unreadable)?.len();
    if size > LARGEST_FILE {
        let problem =
            format!("it has {size} bytes: a trace of a month has less than {LARGEST_FILE}");
        return Err(InputErrors::one(name, problem));
    }
    let text = fs::read_to_string(file).map_err(unreadable)?;
    parse_trace(&name, &text)
}

/// Parses the text of a trace. Error messages use `name`.
///
/// # Errors
/// The text is not a valid trace. The error lists all invalid lines.
pub fn parse_trace(name: &str, text: &str) -> Result<Vec<u32>, InputErrors> {
    let mut errors = InputErrors(Vec::new());
    let mut counts = Vec::new();
    let mut lines = text.lines();
    match lines.next() {
        Some(HEADER) => {}
        Some(other) => {
            let problem = format!(
                "the first line is {}: it must be the header {HEADER}",
                shortened(other)
            );
            return Err(InputErrors::one(format!("{name}:1"), problem));
        }
        None => {
            let problem = format!("it is empty: it must begin with the header {HEADER}");
            return Err(InputErrors::one(name, problem));
        }
    }
    let mut expected: u64 = 0;
    for (index, line) in lines.enumerate() {
        let mut wrong = |problem: String| errors.add(format!("{name}:{}", index + 2), problem);
        let Some((second, requests)) = line.split_once(',') else {
            wrong(format!(
                "{} has no comma: it must be {expected},REQUESTS",
                shortened(line)
            ));
            expected += 1;
            continue;
        };
        match second.parse::<u64>() {
            Ok(found) if found == expected => {}
            Ok(found) => {
                wrong(format!(
                    "found second {found}, expected second {expected}: each second has a line, with 0 requests if none arrived"
                ));
                // Lines after a gap are not reported again.
                expected = found;
            }
            Err(_) => wrong(format!(
                "the second is {}: it must be {expected}",
                shortened(second)
            )),
        }
        expected = expected.saturating_add(1);
        match requests.parse::<u32>() {
            Ok(count) if count <= MOST_REQUESTS => counts.push(count),
            _ => wrong(format!(
                "the number of requests is {}: it must be a whole number from 0 to {MOST_REQUESTS}",
                shortened(requests)
            )),
        }
    }
    if errors.0.is_empty() {
        if counts.is_empty() {
            errors.add(
                name,
                "it has no data: a line for each second must follow the header",
            );
        } else if counts.len() > LONGEST {
            let problem = format!(
                "it has {} seconds: the maximum is {LONGEST}, a month",
                counts.len()
            );
            errors.add(name, problem);
        }
    }
    if errors.0.is_empty() {
        Ok(counts)
    } else {
        Err(errors)
    }
}

/// Quotes and shortens a text, so that an error message is one line.
fn shortened(text: &str) -> String {
    const MOST: usize = 40;
    if text.chars().count() <= MOST {
        return format!("{text:?}");
    }
    let start: String = text.chars().take(MOST).collect();
    format!("{start:?}…")
}
