//! Charts of the last hour, as SVG without scripts and styles of their own.

use std::fmt::Write as _;

use askama::Template;
use pushscale_decision::Latency;

use crate::history::{MAX_POINTS, Point, Series};

/// The size of a chart in SVG units.
const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 120.0;

/// The size of a sparkline in SVG units.
const SPARK_WIDTH: f64 = 120.0;
const SPARK_HEIGHT: f64 = 24.0;

/// The seconds from left to right.
const HOUR: i64 = 3600;

/// The seconds of a sparkline's point.
const MINUTE: i64 = 60;

/// How a chart writes its numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    /// Requests per second.
    Rate,
    /// Seconds, as `40ms`.
    Seconds,
    /// A share, as `70%`.
    Share,
    /// Replicas.
    Count,
}

impl Unit {
    fn of(series: Series) -> Self {
        match series {
            Series::Load => Self::Rate,
            Series::Latency | Series::Target | Series::ServiceTime => Self::Seconds,
            Series::Utilisation | Series::UtilisationLimit => Self::Share,
            Series::Replicas
            | Series::Desired
            | Series::Ready
            | Series::Scheduled
            | Series::Held => Self::Count,
        }
    }

    fn text(self, value: f64) -> String {
        match self {
            Self::Rate if value < 10.0 => format!("{value:.1}/s"),
            Self::Rate => format!("{value:.0}/s"),
            Self::Seconds => {
                Latency::from_secs_f64(value).map_or("–".to_owned(), |it| it.to_string())
            }
            Self::Share => format!("{:.0}%", value * 100.0),
            Self::Count => format!("{value:.0}"),
        }
    }
}

/// What a chart shows.
#[derive(Debug)]
pub(super) struct Chart {
    /// A part of element ids.
    pub(super) id: &'static str,
    pub(super) title: &'static str,
    /// The series and their names in the legend. They have the same unit.
    pub(super) series: &'static [(Series, &'static str)],
}

/// A chart as HTML; empty if nothing is known about its series.
#[derive(Template)]
#[template(path = "chart.html")]
struct ChartTemplate {
    id: &'static str,
    title: &'static str,
    description: String,
    top: String,
    lines: Vec<Line>,
}

/// One series of a chart.
struct Line {
    name: &'static str,
    /// Selects color and dashes: 1 to 5.
    style: usize,
    path: String,
    now: String,
}

impl Chart {
    /// Draws the points of the hour that ends at `now`, in Unix seconds.
    pub(super) fn draw(&self, points: &[&Point], now: i64) -> Result<String, askama::Error> {
        let unit = Unit::of(self.series[0].0);
        let top = self
            .series
            .iter()
            .filter_map(|(series, _)| highest(points, *series))
            .fold(0.0, f64::max);
        let axis = Axis::new(now, top, WIDTH, HEIGHT);
        let mut lines = Vec::new();
        let mut description = Vec::new();
        for (index, (series, name)) in self.series.iter().enumerate() {
            let Some(highest) = highest(points, *series) else {
                continue;
            };
            let last = points.last().and_then(|point| point.get(*series));
            let now = last.map_or("–".to_owned(), |last| unit.text(last));
            description.push(format!("{name}: now {now}, highest {}", unit.text(highest)));
            lines.push(Line {
                name,
                style: index + 1,
                path: axis.path(points, *series, unit == Unit::Count),
                now,
            });
        }
        if lines.is_empty() {
            return Ok(String::new());
        }
        let chart = ChartTemplate {
            id: self.id,
            title: self.title,
            description: description.join("; "),
            top: unit.text(axis.top),
            lines,
        };
        chart.render()
    }
}

/// Returns the path of a sparkline of the hour that ends with the minute of `now`: the highest value of each minute. It
/// ends with a minute so that a row whose load has not changed is not sent again every second.
pub(super) fn sparkline(history: &[&Point], series: Series, now: i64) -> String {
    let mut minutes: Vec<Point> = Vec::new();
    for point in history {
        match minutes.last_mut() {
            Some(last) if last.second() / MINUTE == point.second() / MINUTE => {
                if point.get(series) > last.get(series) {
                    *last = **point;
                }
            }
            _ => minutes.push(**point),
        }
    }
    let points: Vec<&Point> = minutes.iter().collect();
    let end = (now / MINUTE + 1) * MINUTE;
    let top = highest(&points, series).unwrap_or_default();
    let axis = Axis::new(end, top, SPARK_WIDTH, SPARK_HEIGHT);
    axis.path(&points, series, false)
}

/// Returns the highest known value.
fn highest(points: &[&Point], series: Series) -> Option<f64> {
    let values = points.iter().filter_map(|point| point.get(series));
    values.reduce(f64::max)
}

/// Returns the value of a series at a point as text.
pub(super) fn figure(point: Option<&Point>, series: Series) -> String {
    let value = point.and_then(|point| point.get(series));
    value.map_or("–".to_owned(), |value| Unit::of(series).text(value))
}

/// Maps times and values to SVG units.
struct Axis {
    /// Unix time at the left.
    begin: i64,
    /// The value at the top.
    top: f64,
    width: f64,
    height: f64,
}

impl Axis {
    /// The axes of the hour that ends at this Unix time, with some space above the highest value.
    fn new(end: i64, highest: f64, width: f64, height: f64) -> Self {
        Self {
            begin: end - HOUR,
            top: highest.max(1e-6) * 1.05,
            width,
            height,
        }
    }

    /// Draws a line, or steps, with a gap where the value is unknown or no decision was made for a while.
    fn path(&self, points: &[&Point], series: Series, steps: bool) -> String {
        let mut path = String::with_capacity(points.len().min(MAX_POINTS) * 12);
        let mut last: Option<&Point> = None;
        for point in points.iter().filter(|point| point.second() >= self.begin) {
            let Some(value) = point.get(series) else {
                last = None;
                continue;
            };
            let (x, y) = (self.x(point), self.y(value));
            // An aggregator decides at least every 15 seconds. A sparkline has a point per minute.
            let is_next = last.is_some_and(|last| point.second() - last.second() <= 120);
            // Writing to a string cannot fail.
            match (is_next, steps) {
                (true, true) => write!(path, "H{x:.1}V{y:.1}"),
                (true, false) => write!(path, "L{x:.1} {y:.1}"),
                // A point of its own has no length, and would be invisible.
                (false, _) => write!(path, "M{x:.1} {y:.1}h0.1"),
            }
            .ok();
            last = Some(point);
        }
        path
    }

    fn x(&self, point: &Point) -> f64 {
        (point.second() - self.begin) as f64 / HOUR as f64 * self.width
    }

    fn y(&self, value: f64) -> f64 {
        self.height - (value / self.top).min(1.0) * self.height
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::tests::{decision, steps};

    const LOAD: Chart = Chart {
        id: "load",
        title: "Load",
        series: &[(Series::Load, "requests per second")],
    };

    fn points(loads: &[Option<f64>]) -> Vec<Point> {
        let begin = 1_000_000;
        let seconds = (begin..).step_by(10);
        let point = |(load, second): (&Option<f64>, i64)| match load {
            Some(load) => Point::from_decision(&decision(steps(*load)), second),
            None => Point::unknown(second),
        };
        loads.iter().zip(seconds).map(point).collect()
    }

    #[test]
    fn an_unknown_value_is_a_gap() {
        let points = points(&[Some(1.0), Some(2.0), None, Some(2.0)]);
        let points: Vec<_> = points.iter().collect();
        let chart = LOAD.draw(&points, 1_000_030).unwrap();
        let path = chart.split("line-1\" d=\"").nth(1).unwrap();
        let path = path.split('"').next().unwrap();
        assert_eq!(path.matches('M').count(), 2, "{path}");
        assert_eq!(path.matches('L').count(), 1, "{path}");
        assert!(chart.contains("now 2.0/s, highest 2.0/s"), "{chart}");
    }

    #[test]
    fn a_chart_without_values_is_empty() {
        let points = points(&[None, None]);
        let points: Vec<_> = points.iter().collect();
        assert_eq!(LOAD.draw(&points, 1_000_010).unwrap(), "");
    }

    #[test]
    fn a_sparkline_has_a_point_per_minute() {
        let points = points(&[Some(1.0); 360]);
        let points: Vec<_> = points.iter().collect();
        let path = sparkline(&points, Series::Load, 1_003_590);
        assert_eq!(path.matches(['L', 'M']).count(), 60, "{path}");
        assert!(path.len() < 1000, "{}", path.len());
    }

    #[test]
    fn a_sparkline_changes_once_per_minute() {
        let points = points(&[Some(1.0); 10]);
        let points: Vec<_> = points.iter().collect();
        let path = |now| sparkline(&points, Series::Load, now);
        assert_eq!(path(1_000_080), path(1_000_139));
        assert_ne!(path(1_000_080), path(1_000_140));
    }
}
