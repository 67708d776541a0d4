//! The page of one scaler.

use askama::Template;
use jiff::Timestamp;
use pushscale_decision::{Decision, Step};

use super::chart::{Chart, figure};
use super::conditions::{self, ConditionRow};
use super::fragment::Fragment;
use crate::history::{Point, ScalerHistory, Series};
use crate::names::ScalerKey;

/// Rows of the table of figures: one per minute.
const TABLE_SECONDS: i64 = 60;

const CHARTS: [Chart; 5] = [
    Chart {
        id: "load",
        title: "Load",
        series: &[(Series::Load, "requests per second")],
    },
    Chart {
        id: "replicas",
        title: "Replicas",
        series: &[
            (Series::Desired, "desired"),
            (Series::Ready, "ready"),
            (Series::Replicas, "in the target's spec"),
            (Series::Held, "held"),
            (Series::Scheduled, "minimum by schedule"),
        ],
    },
    Chart {
        id: "latency",
        title: "Queue latency",
        series: &[
            (Series::Latency, "queue latency"),
            (Series::Target, "target"),
        ],
    },
    Chart {
        id: "service-time",
        title: "Service time",
        series: &[(Series::ServiceTime, "service time")],
    },
    Chart {
        id: "utilisation",
        title: "Utilisation",
        series: &[
            (Series::Utilisation, "utilisation"),
            (
                Series::UtilisationLimit,
                "utilisation that keeps the target",
            ),
        ],
    },
];

/// The series of the table, with heads.
const COLUMNS: [(Series, &str); 10] = [
    (Series::Load, "Load"),
    (Series::Desired, "Desired"),
    (Series::Ready, "Ready"),
    (Series::Replicas, "In spec"),
    (Series::Held, "Held"),
    (Series::Scheduled, "By schedule"),
    (Series::Latency, "Latency"),
    (Series::Target, "Target"),
    (Series::ServiceTime, "Service time"),
    (Series::Utilisation, "Utilisation"),
];

#[derive(Template)]
#[template(path = "figures.html")]
struct Figures<'a> {
    problems: &'a [String],
    outcome: String,
    decided: String,
    reporting: String,
    /// Names and values.
    values: Vec<(&'static str, String)>,
}

#[derive(Template)]
#[template(path = "steps.html")]
struct Steps {
    steps: Vec<String>,
    /// Questions and their answers.
    alternatives: Vec<(&'static str, Vec<String>)>,
}

#[derive(Template)]
#[template(path = "charts.html")]
struct Charts {
    charts: Vec<String>,
}

#[derive(Template)]
#[template(path = "conditions.html")]
struct ConditionTable<'a> {
    rows: Vec<ConditionRow<'a>>,
}

#[derive(Template)]
#[template(path = "timeline.html")]
struct Timeline<'a> {
    /// The page, relative to itself.
    name: &'a str,
    entries: Vec<TimelineEntry<'a>>,
}

struct TimelineEntry<'a> {
    number: u64,
    is_open: bool,
    at: String,
    time: String,
    outcome: &'a str,
    steps: Vec<&'a str>,
}

#[derive(Template)]
#[template(path = "table.html")]
struct Table {
    heads: Vec<&'static str>,
    rows: Vec<(String, Vec<String>)>,
}

/// Renders the parts of the page, in their order, with one decision opened to its steps.
pub(super) fn fragments(
    key: &ScalerKey,
    history: &ScalerHistory,
    now: Timestamp,
    open: Option<u64>,
) -> Result<Vec<Fragment>, askama::Error> {
    let points: Vec<_> = history.points().collect();
    let decision = history
        .latest
        .as_ref()
        .map(|latest| latest.decision.as_ref());
    let parts = [
        (
            "figures",
            figures(history, points.last().copied()).render()?,
        ),
        ("charts", charts(&points, now)?),
        ("steps", steps(decision).render()?),
        ("timeline", timeline(key, history, open).render()?),
        ("conditions", condition_table(decision).render()?),
        ("table", table(&points).render()?),
    ];
    let fragment = |(id, html): (&str, String)| Fragment::new(id.to_owned(), html);
    Ok(parts.into_iter().map(fragment).collect())
}

fn figures<'a>(history: &'a ScalerHistory, last: Option<&Point>) -> Figures<'a> {
    let text = |series| figure(last, series);
    let latest = history.latest.as_ref();
    let decision = latest.map(|latest| latest.decision.as_ref());
    let hold = decision.and_then(|decision| {
        decision.steps.iter().find_map(|step| match step {
            Step::Held { replicas, window } => {
                Some(format!("{replicas} for {} s", window.as_secs()))
            }
            _ => None,
        })
    });
    Figures {
        problems: &history.problems,
        outcome: decision.map_or("nothing decided yet".to_owned(), |decision| {
            decision.outcome.to_string()
        }),
        decided: latest.map_or("never".to_owned(), |latest| clock(latest.at)),
        reporting: decision.map_or("–".to_owned(), |decision| decision.freshness.to_string()),
        values: vec![
            ("load", text(Series::Load)),
            ("desired replicas", text(Series::Desired)),
            ("ready pods", text(Series::Ready)),
            ("minimum by schedule", text(Series::Scheduled)),
            (
                "queue latency / target",
                format!("{} / {}", text(Series::Latency), text(Series::Target)),
            ),
            ("service time", text(Series::ServiceTime)),
            ("utilisation", text(Series::Utilisation)),
            ("hold", hold.unwrap_or_else(|| "–".to_owned())),
        ],
    }
}

fn charts(points: &[&Point], now: Timestamp) -> Result<String, askama::Error> {
    // Changes once per point, so that an unchanged chart is not sent again.
    let end = points
        .last()
        .map_or(now.as_second(), |point| point.second());
    let charts: Result<Vec<_>, _> = CHARTS.iter().map(|it| it.draw(points, end)).collect();
    let charts = charts?.into_iter().filter(|chart| !chart.is_empty());
    let charts = Charts {
        charts: charts.collect(),
    };
    charts.render()
}

fn steps(decision: Option<&Decision>) -> Steps {
    let Some(decision) = decision else {
        return Steps {
            steps: Vec::new(),
            alternatives: Vec::new(),
        };
    };
    let why = decision.alternatives();
    let alternatives = [
        ("Why not more replicas", why.not_more),
        ("There would be more if", why.more_if),
        ("Why not fewer replicas", why.not_fewer),
        ("There would be fewer if", why.fewer_if),
    ];
    Steps {
        steps: decision.steps.iter().map(ToString::to_string).collect(),
        alternatives: alternatives
            .into_iter()
            .filter(|(_, answers)| !answers.is_empty())
            .collect(),
    }
}

fn condition_table(decision: Option<&Decision>) -> ConditionTable<'_> {
    let rows = decision.map(|decision| conditions::all(&decision.conditions).collect());
    ConditionTable {
        rows: rows.unwrap_or_default(),
    }
}

fn timeline<'a>(key: &'a ScalerKey, history: &'a ScalerHistory, open: Option<u64>) -> Timeline<'a> {
    let entries = history.decisions().rev().map(|decision| TimelineEntry {
        number: decision.number,
        is_open: open == Some(decision.number),
        at: decision.at.to_string(),
        time: clock(decision.at),
        outcome: &decision.outcome,
        steps: decision.steps.lines().collect(),
    });
    Timeline {
        name: &key.name,
        entries: entries.collect(),
    }
}

/// The last point of each minute, newest first.
fn table(points: &[&Point]) -> Table {
    let mut rows: Vec<(String, Vec<String>)> = Vec::new();
    let mut last = None;
    for point in points.iter().rev() {
        let minute = point.second() / TABLE_SECONDS;
        if last.replace(minute) == Some(minute) {
            continue;
        }
        let columns = COLUMNS.iter();
        let values = columns.map(|(series, _)| figure(Some(point), *series));
        let time = Timestamp::from_second(minute * TABLE_SECONDS).unwrap_or_default();
        rows.push((time.strftime("%H:%M").to_string(), values.collect()));
    }
    Table {
        heads: COLUMNS.iter().map(|(_, head)| *head).collect(),
        rows,
    }
}

fn clock(at: Timestamp) -> String {
    at.strftime("%H:%M:%S").to_string()
}
