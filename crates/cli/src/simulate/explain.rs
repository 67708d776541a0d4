//! Lists each change of the replica count with its explanation.

use std::fmt::Write as _;

use super::request::Request;
use super::run::Results;

/// Formats the changes of the first seed.
pub(super) fn write(request: &Request, results: &Results<'_>) -> String {
    let mut text = String::new();
    for (candidate, outcomes) in request.candidates.iter().zip(&results.outcomes) {
        let (Some(outcome), Some(seed)) = (outcomes.first(), request.seeds.first()) else {
            continue;
        };
        // Writing to a String cannot fail.
        writeln!(text, "\n{}, seed {seed}:", candidate.name).unwrap_or_default();
        if outcome.history.is_empty() {
            text.push_str("  the replica count never changes\n");
        }
        for change in &outcome.history {
            let why = if change.why.is_empty() {
                format!("scale {} → {}", change.from, change.to)
            } else {
                change.why.clone()
            };
            writeln!(text, "  {:>5} s: {why}", change.second).unwrap_or_default();
        }
    }
    text
}
