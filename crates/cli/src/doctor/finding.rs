//! What a check found.

use crate::output::{Colors, Urgency};

/// The result of one check of one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The check's name.
    pub check: &'static str,
    /// What it inspected, and what it found there.
    pub seen: String,
    /// What is wrong; `None` if nothing is.
    pub problem: Option<Problem>,
    /// Whether the check could not read what it inspects.
    pub skipped: bool,
}

/// What is wrong, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The consequence.
    pub wrong: String,
    /// What to do.
    pub fix: String,
}

impl Finding {
    pub(super) fn good(check: &'static str, seen: impl Into<String>) -> Self {
        Self {
            check,
            seen: seen.into(),
            problem: None,
            skipped: false,
        }
    }

    pub(super) fn wrong(
        check: &'static str,
        seen: impl Into<String>,
        wrong: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        let problem = Problem {
            wrong: wrong.into(),
            fix: fix.into(),
        };
        Self {
            problem: Some(problem),
            ..Self::good(check, seen)
        }
    }

    pub(super) fn skipped(check: &'static str, seen: impl Into<String>) -> Self {
        Self {
            skipped: true,
            ..Self::good(check, seen)
        }
    }
}

/// Renders the findings, one after the other, with a summary. `quiet` prints only problems.
pub fn render(findings: &[Finding], quiet: bool, colors: bool) -> String {
    let colors = Colors(colors);
    let width = findings.iter().map(|finding| finding.check.len()).max();
    let width = width.unwrap_or(0);
    let mut text = String::new();
    for finding in findings {
        let (word, urgency) = match (&finding.problem, finding.skipped) {
            (Some(_), _) => ("FAIL ", Urgency::Wrong),
            (None, true) => ("skip ", Urgency::Notice),
            (None, false) => ("ok   ", Urgency::Good),
        };
        if quiet && finding.problem.is_none() {
            continue;
        }
        let word = colors.paint(urgency, word);
        let (check, seen) = (finding.check, &finding.seen);
        text.push_str(&format!("{word}  {check:width$}  {seen}\n"));
        if let Some(problem) = &finding.problem {
            let indent = " ".repeat(width + 9);
            text.push_str(&format!("{indent}{}\n", problem.wrong));
            text.push_str(&format!("{indent}→ {}\n", problem.fix));
        }
    }
    let wrong = findings.iter().filter(|finding| finding.problem.is_some());
    let skipped = findings.iter().filter(|finding| finding.skipped);
    let (all, wrong, skipped) = (findings.len(), wrong.count(), skipped.count());
    text.push_str(&format!(
        "{all} checks, {wrong} failed, {skipped} skipped\n"
    ));
    text
}
