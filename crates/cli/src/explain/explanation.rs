//! The text of an explanation.

use std::fmt::Write as _;

use jiff::Timestamp;
use pushscale_aggregator::ScalerView;
use pushscale_api::{PushScaler, ScaleChange};
use pushscale_decision::{Alternatives, Decision};

use crate::output::{Colors, Urgency, age};

/// A decision with everything that explains it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Explanation {
    /// Namespace, name and target.
    pub(super) subject: String,
    /// When and by whom it was decided.
    pub(super) source: String,
    pub(super) outcome: String,
    pub(super) steps: Vec<String>,
    pub(super) alternatives: Alternatives,
    /// How many pods report, and why the others do not.
    pub(super) freshness: Option<String>,
    /// What is wrong with the spec.
    pub(super) problems: Vec<String>,
    /// What is missing from this explanation.
    pub(super) notes: Vec<String>,
}

impl Explanation {
    /// Explains the last decision of an aggregator.
    pub(super) fn of_view(view: &ScalerView, aggregator: &str) -> Self {
        let subject = format!("{}/{}, {}", view.namespace, view.name, view.target);
        let mut explanation = Self {
            subject,
            problems: view.problems.clone(),
            ..Self::default()
        };
        match &view.decision {
            Some(decision) => {
                let seconds = decision.age_seconds;
                explanation.source = format!("decided {seconds:.1} s ago by {aggregator}");
                explanation.outcome.clone_from(&decision.outcome);
                explanation.steps.clone_from(&decision.steps);
                explanation.alternatives = Alternatives {
                    not_more: decision.not_more.clone(),
                    more_if: decision.more_if.clone(),
                    not_fewer: decision.not_fewer.clone(),
                    fewer_if: decision.fewer_if.clone(),
                };
                explanation.freshness = Some(decision.freshness.clone());
            }
            None => {
                explanation.source = format!("asked {aggregator}");
                "no decision yet".clone_into(&mut explanation.outcome);
            }
        }
        explanation
    }

    /// Explains a replayed decision.
    pub(super) fn of_decision(decision: &Decision) -> Self {
        Self {
            outcome: decision.outcome.to_string(),
            steps: decision.steps.iter().map(ToString::to_string).collect(),
            alternatives: decision.alternatives(),
            freshness: Some(decision.freshness.to_string()),
            ..Self::default()
        }
    }

    /// Explains the decision in the status, without an aggregator. `error` is why there is none.
    pub(super) fn of_status(scaler: &PushScaler, error: &dyn std::error::Error) -> Self {
        let status = scaler.status.as_ref();
        let decision = status.and_then(|status| status.decision.as_deref());
        let decision = decision.unwrap_or("no decision yet");
        // Steps are separated by semicolons, and some contain one, so they stay on one line.
        Self {
            subject: subject(scaler),
            source: "decided by the leader, from the status".to_owned(),
            outcome: decision.to_owned(),
            notes: vec![format!(
                "the aggregator could not be queried: {}",
                pushscale_daemon::error::chain(error)
            )],
            ..Self::default()
        }
    }

    /// Renders the explanation. With the PushScaler, its last changes and its conditions follow.
    pub(super) fn render(
        &self,
        scaler: Option<&PushScaler>,
        now: Timestamp,
        colors: Colors,
    ) -> String {
        let mut text = format!("PushScaler {}\n{}\n\n", self.subject, self.source);
        for note in &self.notes {
            text.push_str(&colors.paint(Urgency::Notice, &format!("note: {note}\n")));
        }
        for problem in &self.problems {
            text.push_str(&colors.paint(Urgency::Wrong, &format!("invalid spec: {problem}\n")));
        }
        text.push_str(&colors.paint(Urgency::Good, &self.outcome));
        text.push('\n');
        for step in &self.steps {
            text.push_str(&format!("  {step}\n"));
        }
        if let Some(freshness) = &self.freshness {
            text.push_str(&format!("  readings: {freshness}\n"));
        }
        let alternatives = &self.alternatives;
        for (title, lines) in [
            ("Why not more replicas", &alternatives.not_more),
            ("More replicas if", &alternatives.more_if),
            ("Why not fewer replicas", &alternatives.not_fewer),
            ("Fewer replicas if", &alternatives.fewer_if),
        ] {
            section(&mut text, title, lines);
        }
        if let Some(scaler) = scaler {
            section(&mut text, "Conditions to look at", &attention(scaler));
            let history = scaler.status.iter().flat_map(|status| &status.history);
            let changes: Vec<_> = history
                .map(|change| format!("{} ago: {}", age(now, change.time.0), describe(change)))
                .collect();
            section(&mut text, "Last changes", &changes);
        }
        text
    }
}

fn section(text: &mut String, title: &str, lines: &[String]) {
    if lines.is_empty() {
        return;
    }
    text.push_str(&format!("\n{title}\n"));
    for line in lines {
        text.push_str(&format!("  {line}\n"));
    }
}

/// Returns namespace, name and target of a PushScaler.
pub(super) fn subject(scaler: &PushScaler) -> String {
    let metadata = &scaler.metadata;
    let target = &scaler.spec.scale_target_ref;
    format!(
        "{}/{}, {}/{}",
        metadata.namespace.as_deref().unwrap_or_default(),
        metadata.name.as_deref().unwrap_or_default(),
        target.kind,
        target.name
    )
}

/// Describes a change with the figures that decided it.
pub(super) fn describe(change: &ScaleChange) -> String {
    let mut text = format!("{} → {}: {}", change.from, change.to, change.reason);
    let figures = [
        ("latency", &change.queue_latency),
        ("target", &change.target),
        ("arrivals", &change.arrival_rate),
    ];
    for (name, figure) in figures {
        if let Some(figure) = figure {
            // Writing to a string does not fail.
            write!(text, ", {name} {figure}").ok();
        }
    }
    text
}

/// Returns the conditions that report a problem, with their messages, which say what to do.
fn attention(scaler: &PushScaler) -> Vec<String> {
    let conditions = scaler.status.iter().flat_map(|status| &status.conditions);
    conditions
        .filter(|found| crate::status::is_problem(&found.type_, &found.status).is_some())
        .map(|found| format!("{}: {}: {}", found.type_, found.reason, found.message))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn read(name: &str) -> String {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata");
        std::fs::read_to_string(directory.join(name)).unwrap()
    }

    fn check(name: &str, found: &str) {
        let file = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("testdata/explain")
            .join(name);
        if std::env::var_os("PUSHSCALE_GENERATE").is_some() {
            std::fs::write(&file, found).unwrap();
        }
        assert_eq!(
            found,
            std::fs::read_to_string(&file).unwrap_or_default(),
            "{name}"
        );
    }

    /// Compares with the files in `testdata/explain`, which `PUSHSCALE_GENERATE=1` rewrites.
    #[test]
    fn explanations_match_the_expected_texts() {
        let scalers: Vec<PushScaler> =
            serde_saphyr::from_multiple(&read("status/scalers.yaml")).unwrap();
        let now = "2026-01-31T12:00:00Z".parse().unwrap();
        let view: ScalerView = serde_json::from_str(&read("explain/view.json")).unwrap();
        let live = Explanation::of_view(&view, "pushscale-aggregator-a");
        check(
            "live.txt",
            &live.render(Some(&scalers[0]), now, Colors(false)),
        );
        let forbidden = std::io::Error::other("pods/portforward is forbidden");
        let status = Explanation::of_status(&scalers[1], &forbidden);
        check(
            "from-the-status.txt",
            &status.render(Some(&scalers[1]), now, Colors(false)),
        );
    }
}
