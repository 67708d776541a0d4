//! Each change of size, with the words of who decided it.

use std::fmt::Write as _;

use super::request::Request;
use super::run::Played;

/// Of the first seed.
pub(super) fn write(request: &Request, played: &Played<'_>) -> String {
    let mut text = String::new();
    for (contender, outcomes) in request.contenders.iter().zip(&played.outcomes) {
        let (Some(outcome), Some(seed)) = (outcomes.first(), request.seeds.first()) else {
            continue;
        };
        // Writing to a text cannot fail.
        writeln!(text, "\n{}, seed {seed}:", contender.name).unwrap_or_default();
        if outcome.history.is_empty() {
            text.push_str("  the size never changes\n");
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
