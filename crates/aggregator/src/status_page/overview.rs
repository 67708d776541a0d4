//! The overview: a row per scaler.

use std::sync::Arc;

use askama::Template;
use jiff::Timestamp;

use super::chart::{self, figure};
use super::conditions;
use super::fragment::Fragment;
use crate::history::{ScalerHistory, Series};
use crate::names::ScalerKey;

/// The rows of all scalers at one time. Pages and streams share it.
#[derive(Debug)]
pub(super) struct Overview {
    pub(super) rows: Vec<Fragment>,
    /// The sentence above the table.
    pub(super) summary: Fragment,
    /// The version of the history that it shows.
    pub(super) version: u64,
}

#[derive(Template)]
#[template(path = "row.html")]
struct Row<'a> {
    id: &'a str,
    target: &'a str,
    state: &'static str,
    problem: String,
    desired: String,
    ready: String,
    load: String,
    load_path: String,
    latency: String,
    latency_path: String,
    outcome: String,
}

#[derive(Template)]
#[template(
    ext = "html",
    source = "<p id=\"summary\">{{ count }}{% if attention > 0 %}, {{ attention }} \
              {% if attention == 1 %}needs{% else %}need{% endif %} attention{% endif %}.</p>"
)]
struct Summary {
    count: String,
    attention: usize,
}

impl Overview {
    pub(super) fn render(
        histories: &[(ScalerKey, Arc<ScalerHistory>)],
        version: u64,
        now: Timestamp,
    ) -> Result<Self, askama::Error> {
        let mut attention = 0;
        let mut rows = Vec::with_capacity(histories.len());
        for (key, history) in histories {
            let id = key.to_string();
            let row = Row::new(&id, history, now.as_second());
            attention += usize::from(!row.problem.is_empty());
            let html = row.render()?;
            rows.push(Fragment::new(id, html));
        }
        let count = match rows.len() {
            0 => "No PushScalers".to_owned(),
            1 => "1 PushScaler".to_owned(),
            count => format!("{count} PushScalers"),
        };
        let summary = Summary { count, attention }.render()?;
        Ok(Self {
            rows,
            summary: Fragment::new("summary".to_owned(), summary),
            version,
        })
    }
}

impl<'a> Row<'a> {
    fn new(id: &'a str, history: &'a ScalerHistory, now: i64) -> Self {
        let points: Vec<_> = history.points().collect();
        let last = points.last();
        let text = |series| figure(last.copied(), series);
        let problem = problem(history);
        let decision = history.latest.as_ref().map(|latest| &latest.decision);
        Self {
            id,
            target: &history.target,
            state: match (&problem, decision) {
                (Some(_), _) => "attention",
                (None, None) => "waiting",
                (None, Some(_)) => "good",
            },
            problem: problem.unwrap_or_default(),
            desired: match (text(Series::Replicas), text(Series::Desired)) {
                (current, desired) if current == desired => current,
                (current, desired) => format!("{current} → {desired}"),
            },
            ready: text(Series::Ready),
            load: text(Series::Load),
            load_path: chart::sparkline(&points, Series::Load, now),
            latency: format!("{} / {}", text(Series::Latency), text(Series::Target)),
            latency_path: chart::sparkline(&points, Series::Latency, now),
            outcome: decision.map_or("nothing decided yet".to_owned(), |decision| {
                decision.outcome.to_string()
            }),
        }
    }
}

/// Returns what needs attention: a problem in the spec, or the first bad condition.
fn problem(history: &ScalerHistory) -> Option<String> {
    if let Some(problem) = history.problems.first() {
        return Some(problem.clone());
    }
    let decision = &history.latest.as_ref()?.decision;
    let bad = conditions::all(&decision.conditions).find(|condition| condition.is_bad)?;
    Some(format!("{}: {}", bad.kind, bad.message))
}
