//! The status page: HTML and SVG, no script.

use std::fmt::Write as _;

use askama::Template;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use pushscale_api::names::conditions::{METRICS_INCOMPLETE, SCALING_LIMITED, STUCK};
use pushscale_decision::Latency;

use crate::view::{Point, ScalerView};

/// The height of the latency chart, in its own units.
const LATENCY_HEIGHT: f64 = 90.0;

/// The height of the replicas chart.
const REPLICAS_HEIGHT: f64 = 60.0;

/// The width of both.
const WIDTH: f64 = 600.0;

/// So many past decisions are shown.
const TOLD_SHOWN: usize = 20;

/// The status page.
#[derive(Template)]
#[template(path = "status.html")]
pub(crate) struct StatusPage {
    scalers: Vec<Shown>,
}

struct Shown {
    namespace: String,
    name: String,
    target: String,
    problems: Vec<String>,
    replicas: String,
    latency: String,
    reporting: String,
    silent: bool,
    age: String,
    outcome: String,
    steps: Vec<String>,
    conditions: Vec<ShownCondition>,
    history: Vec<ShownDecision>,
    charts: Option<Charts>,
}

struct ShownCondition {
    kind: String,
    holds: String,
    reason: String,
    message: String,
    bad: bool,
}

struct ShownDecision {
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
    pub(crate) fn of(scalers: &[ScalerView]) -> Self {
        Self {
            scalers: scalers.iter().map(Shown::of).collect(),
        }
    }
}

impl Shown {
    fn of(view: &ScalerView) -> Self {
        let decision = view.decision.as_ref();
        let count = |count: Option<u32>| count.map_or("–".to_owned(), |count| count.to_string());
        let replicas = decision.map_or("–".to_owned(), |decision| {
            let (now, then) = (decision.current_replicas, decision.desired_replicas);
            if now == then {
                count(now)
            } else {
                format!("{} → {}", count(now), count(then))
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
            silent: reporting.contains(": "),
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
                .map(ShownCondition::of)
                .collect(),
            history: view
                .history
                .iter()
                .rev()
                .take(TOLD_SHOWN)
                .map(|told| ShownDecision {
                    at: told.at.strftime("%H:%M:%S").to_string(),
                    explanation: told.explanation.clone(),
                })
                .collect(),
            charts: charts(&view.points, figure.map(|figure| figure.target_seconds)),
        }
    }
}

impl ShownCondition {
    fn of(condition: &Condition) -> Self {
        let holds = condition.status == "True";
        let bad = match condition.type_.as_str() {
            METRICS_INCOMPLETE | STUCK => holds,
            // A bound that cuts is what bounds are for.
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
    let most = points
        .iter()
        .filter_map(|point| point.latency_seconds)
        .fold(target, f64::max);
    let top = (most * 1.1).max(1e-3);
    let replicas_top = points
        .iter()
        .filter_map(|point| point.replicas)
        .max()
        .unwrap_or(1)
        .max(1);
    #[expect(clippy::cast_precision_loss, reason = "seconds of a page")]
    let x = |point: &Point| (point.second - first.second) as f64 / seconds as f64 * WIDTH;
    let latency_y = |latency: f64| LATENCY_HEIGHT - latency / top * LATENCY_HEIGHT;
    let replicas_y = |count: u32| {
        let share = f64::from(count) / (f64::from(replicas_top) + 0.5);
        REPLICAS_HEIGHT - share * REPLICAS_HEIGHT
    };

    let mut latency = String::new();
    let mut pen_down = false;
    for point in points {
        // Where nothing is known there is no line: a gap is not a zero.
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
