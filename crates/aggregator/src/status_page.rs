//! The status page: HTML and SVG without scripts.

use std::fmt::Write as _;

use askama::Template;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use pushscale_api::names::conditions::{METRICS_INCOMPLETE, SCALING_LIMITED, STUCK};
use pushscale_decision::Latency;

use crate::view::{Point, ScalerView};

/// The height of the latency chart in SVG units.
const LATENCY_HEIGHT: f64 = 90.0;

/// The height of the replicas chart in SVG units.
const REPLICAS_HEIGHT: f64 = 60.0;

/// The width of both charts in SVG units.
const WIDTH: f64 = 600.0;

/// Past decisions shown.
const DECISIONS_SHOWN: usize = 20;

/// The status page.
#[derive(Template)]
#[template(path = "status.html")]
pub(crate) struct StatusPage {
    scalers: Vec<ScalerSection>,
}

struct ScalerSection {
    namespace: String,
    name: String,
    target: String,
    problems: Vec<String>,
    replicas: String,
    latency: String,
    reporting: String,
    not_reporting: bool,
    age: String,
    outcome: String,
    steps: Vec<String>,
    conditions: Vec<ConditionRow>,
    history: Vec<DecisionRow>,
    charts: Option<Charts>,
}

struct ConditionRow {
    kind: String,
    holds: String,
    reason: String,
    message: String,
    bad: bool,
}

struct DecisionRow {
    at: String,
    explanation: String,
}

struct Charts {
    seconds: u64,
    latency: String,
    latency_top: String,
    target_y: String,
    replicas: String,
    replicas_top: u32,
}

impl StatusPage {
    pub(crate) fn new(scalers: &[ScalerView]) -> Self {
        Self {
            scalers: scalers.iter().map(ScalerSection::new).collect(),
        }
    }
}

impl ScalerSection {
    fn new(view: &ScalerView) -> Self {
        let decision = view.decision.as_ref();
        let count = |count: Option<u32>| count.map_or("–".to_owned(), |count| count.to_string());
        let replicas = decision.map_or("–".to_owned(), |decision| {
            let (current, desired) = (decision.current_replicas, decision.desired_replicas);
            if current == desired {
                count(current)
            } else {
                format!("{} → {}", count(current), count(desired))
            }
        });
        let figure = decision.and_then(|decision| decision.figures.first());
        let latency = figure.map_or("unknown".to_owned(), |figure| {
            let text = |seconds| {
                Latency::from_secs_f64(seconds).map_or("–".to_owned(), |it| it.to_string())
            };
            format!(
                "{} / {}",
                text(figure.average_seconds),
                text(figure.target_seconds)
            )
        });
        let reporting = decision.map_or("–".to_owned(), |decision| decision.freshness.clone());
        Self {
            namespace: view.namespace.clone(),
            name: view.name.clone(),
            target: view.target.clone(),
            problems: view.problems.clone(),
            replicas,
            latency,
            not_reporting: reporting.contains(": "),
            reporting,
            age: decision.map_or("never".to_owned(), |decision| {
                format!("{:.1} s ago", decision.age_seconds)
            }),
            outcome: decision.map_or(String::new(), |decision| decision.outcome.clone()),
            steps: decision.map_or(Vec::new(), |decision| decision.steps.clone()),
            conditions: view
                .status
                .iter()
                .flat_map(|status| &status.conditions)
                .map(ConditionRow::new)
                .collect(),
            history: view
                .history
                .iter()
                .rev()
                .take(DECISIONS_SHOWN)
                .map(|decision| DecisionRow {
                    at: decision.at.strftime("%H:%M:%S").to_string(),
                    explanation: decision.explanation.clone(),
                })
                .collect(),
            charts: charts(&view.points, figure.map(|figure| figure.target_seconds)),
        }
    }
}

impl ConditionRow {
    fn new(condition: &Condition) -> Self {
        let holds = condition.status == "True";
        let bad = match condition.type_.as_str() {
            METRICS_INCOMPLETE | STUCK => holds,
            // Reaching a limit is normal operation.
            SCALING_LIMITED => false,
            _ => !holds,
        };
        Self {
            kind: condition.type_.clone(),
            holds: condition.status.clone(),
            reason: condition.reason.clone(),
            message: condition.message.clone(),
            bad,
        }
    }
}

fn charts(points: &[Point], target: Option<f64>) -> Option<Charts> {
    let (first, last) = (points.first()?, points.last()?);
    let seconds = (last.second - first.second).max(1);
    let target = target.unwrap_or_default();
    let highest = points
        .iter()
        .filter_map(|point| point.latency_seconds)
        .fold(target, f64::max);
    let top = (highest * 1.1).max(1e-3);
    let replicas_top = points
        .iter()
        .filter_map(|point| point.replicas)
        .max()
        .unwrap_or(1)
        .max(1);
    #[expect(clippy::cast_precision_loss, reason = "at most 600 seconds")]
    let x = |point: &Point| (point.second - first.second) as f64 / seconds as f64 * WIDTH;
    let latency_y = |latency: f64| LATENCY_HEIGHT - latency / top * LATENCY_HEIGHT;
    let replicas_y = |count: u32| {
        let share = f64::from(count) / (f64::from(replicas_top) + 0.5);
        REPLICAS_HEIGHT - share * REPLICAS_HEIGHT
    };

    let mut latency = String::new();
    let mut pen_down = false;
    for point in points {
        // A missing value is a gap in the line, not a zero.
        let Some(value) = point.latency_seconds else {
            pen_down = false;
            continue;
        };
        let letter = if pen_down { 'L' } else { 'M' };
        pen_down = true;
        write!(latency, "{letter}{:.1} {:.1}", x(point), latency_y(value)).ok()?;
    }
    let mut replicas = String::new();
    let mut pen_down = false;
    for point in points {
        let Some(count) = point.replicas else {
            pen_down = false;
            continue;
        };
        if pen_down {
            write!(replicas, "H{:.1}V{:.1}", x(point), replicas_y(count)).ok()?;
        } else {
            write!(replicas, "M{:.1} {:.1}", x(point), replicas_y(count)).ok()?;
        }
        pen_down = true;
    }
    Some(Charts {
        seconds,
        latency,
        latency_top: Latency::from_secs_f64(top)?.to_string(),
        target_y: format!("{:.1}", latency_y(target)),
        replicas,
        replicas_top,
    })
}
