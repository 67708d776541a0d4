//! Draws a sweep: bad requests and pod-hours by the swept key, and where the bad requests exceed the SLO.

use std::io;
use std::ops::Range;

use plotters::coord::Shift;
use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, ValueFormatter};
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;
use pushscale_simulator::scenario::{KEYS, Sweep};

use super::figures::time;
use super::request::Request;
use super::run::Results;
use super::trade_off_chart::point;
use crate::chart::{BLUE, Failure, GREEN, RED, SLATE, svg};

/// The maximum of bad requests in percent: the 99th percentile of the wait meets the limit of a good request.
const SLO: f64 = 1.0;

const WIDTH: u32 = 960;
const PANEL: u32 = 270;
const TITLE: u32 = 34;
const LINE: u32 = 20;

/// The colors of the candidates. Red is the SLO's.
const COLORS: [RGBColor; 5] = [
    BLUE,
    GREEN,
    RGBColor(124, 58, 237),
    RGBColor(217, 119, 6),
    SLATE,
];

/// More labels than this do not fit on the axis of the swept key.
const MAX_LABELS: usize = 12;

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// Draws an SVG with a line for each candidate. Each point is a value of the sweep, the mean of the seeds.
pub(super) fn draw(
    request: &Request,
    sweep: &Sweep,
    results: &[Results<'_>],
) -> io::Result<String> {
    svg(|picture| plot(picture, request, sweep, results))
}

/// The results of one candidate, by value of the sweep.
struct Line<'a> {
    name: &'a str,
    color: RGBColor,
    bad_percent: Vec<f64>,
    pod_hours: Vec<f64>,
}

fn plot(
    picture: &mut String,
    request: &Request,
    sweep: &Sweep,
    results: &[Results<'_>],
) -> Result<(), Failure> {
    let lines: Vec<Line<'_>> = request
        .candidates
        .iter()
        .enumerate()
        .map(|(index, candidate)| {
            let points = results.iter().map(|of| point(&of.outcomes[index]));
            let (pod_hours, bad_percent) = points.unzip();
            Line {
                name: &candidate.name,
                color: COLORS[index % COLORS.len()],
                bad_percent,
                pod_hours,
            }
        })
        .collect();
    let axis = Axis::of(sweep);
    let head = TITLE + LINE * (1 + u32::try_from(lines.len())?) + 8;
    let area = SVGBackend::with_string(picture, (WIDTH, head + 2 * PANEL)).into_drawing_area();
    area.fill(&WHITE)?;
    let (legend, panels) = area.split_vertically(head);
    draw_legend(&legend, sweep, results, &lines)?;
    let (upper, lower) = panels.split_vertically(PANEL);
    panel(&upper, &axis, "bad requests (%)", &lines, true)?;
    panel(&lower, &axis, "pod-hours", &lines, false)?;
    area.present()?;
    Ok(())
}

/// Names the scenario, the SLO, and for each candidate the values with which it breaks the SLO.
fn draw_legend(
    area: &Area<'_>,
    sweep: &Sweep,
    results: &[Results<'_>],
    lines: &[Line<'_>],
) -> Result<(), Failure> {
    let name = results.first().map_or("", |first| &first.scenario.name);
    area.draw(&Text::new(name.to_owned(), (14, 10), ("sans-serif", 18)))?;
    let mut top = i32::try_from(TITLE)?;
    let mut entry = |words: String, color: RGBColor, is_slo: bool| -> Result<(), Failure> {
        let middle = top + 7;
        let strokes: &[(i32, i32)] = if is_slo {
            &[(14, 26), (32, 44)]
        } else {
            &[(14, 44)]
        };
        for (from, to) in strokes {
            let stroke = [(*from, middle), (*to, middle)];
            area.draw(&PathElement::new(stroke, color.stroke_width(2)))?;
        }
        area.draw(&Text::new(words, (52, top), ("sans-serif", 14)))?;
        top += i32::try_from(LINE)?;
        Ok(())
    };
    entry(slo_text(results), RED, true)?;
    for line in lines {
        let broken = broken(&line.bad_percent, &sweep.values);
        entry(format!("{}: {broken}", line.name), line.color, false)?;
    }
    Ok(())
}

/// Describes the SLO. The limit of a wait has a number if it is the same in all scenarios.
fn slo_text(results: &[Results<'_>]) -> String {
    let mut objectives = results.iter().map(|of| of.scenario.cluster.objective());
    let first = objectives.next().unwrap_or_default();
    let limit = if objectives.all(|objective| objective.to_bits() == first.to_bits()) {
        format!("4 × {}", time(first))
    } else {
        "4 times the objective".to_owned()
    };
    format!(
        "SLO: at most {SLO}% of the requests are bad, which wait more than {limit} or fail; a ring marks more"
    )
}

/// Lists the values with which the SLO is broken.
fn broken(bad_percent: &[f64], values: &[String]) -> String {
    let is_broken: Vec<bool> = bad_percent.iter().map(|bad| *bad > SLO).collect();
    if is_broken.iter().all(|broken| *broken) {
        return "breaks the SLO at every value".to_owned();
    }
    let mut spans = Vec::new();
    let mut at = 0;
    for span in is_broken.chunk_by(|one, other| one == other) {
        let last = at + span.len() - 1;
        match (span.first(), values.get(at), values.get(last)) {
            (Some(true), Some(one), Some(_)) if at == last => spans.push(one.clone()),
            (Some(true), Some(first), Some(last)) => spans.push(format!("{first}..{last}")),
            _ => {}
        }
        at = last + 1;
    }
    if spans.is_empty() {
        "meets the SLO at every value".to_owned()
    } else {
        format!("breaks the SLO at {}", spans.join(", "))
    }
}

/// Returns where a line goes through the SLO, on straight lines between its points.
fn crossings(points: &[(f64, f64)]) -> Vec<f64> {
    let pairs = points.windows(2).filter_map(|pair| {
        let [(from, before), (to, after)] = *pair else {
            return None;
        };
        let crosses = (before > SLO) != (after > SLO);
        crosses.then(|| from + (to - from) * (SLO - before) / (after - before))
    });
    pairs.collect()
}

/// The axis of the swept key. Its labels are at its values.
#[derive(Clone)]
struct Axis {
    title: String,
    /// The positions of the values. Equal distances are equal ratios, or equal differences if the first value is 0.
    at: Vec<f64>,
    labels: Vec<String>,
}

impl Axis {
    fn of(sweep: &Sweep) -> Self {
        let by_ratio = sweep.numbers.first().is_some_and(|first| *first > 0.0);
        let position = |number: &f64| if by_ratio { number.ln() } else { *number };
        let key = KEYS.iter().find(|key| key.name == sweep.key);
        // The unit that a number without one has.
        let unit = match key {
            Some(key) if is_time(key.example) => "s",
            _ => "",
        };
        let label = |value: &String| match value.parse::<f64>() {
            Ok(_) => format!("{value}{unit}"),
            Err(_) => value.clone(),
        };
        let meaning = key.map_or("", |key| key.meaning);
        let meaning = meaning.split(';').next().unwrap_or(meaning);
        Self {
            title: format!("{}: {meaning}", sweep.key),
            at: sweep.numbers.iter().map(position).collect(),
            labels: sweep.values.iter().map(label).collect(),
        }
    }

    /// Returns the positions that have a label: the last one, and as many as fit.
    fn labelled(&self) -> Vec<f64> {
        let step = self.at.len().div_ceil(MAX_LABELS).max(1);
        let mut labelled: Vec<f64> = self.at.iter().rev().step_by(step).copied().collect();
        labelled.reverse();
        labelled
    }
}

impl Ranged for Axis {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, limit: (i32, i32)) -> i32 {
        RangedCoordf64::from(self.range()).map(value, limit)
    }

    fn key_points<Hint: KeyPointHint>(&self, _hint: Hint) -> Vec<f64> {
        self.labelled()
    }

    /// All values, with a margin.
    fn range(&self) -> Range<f64> {
        let (Some(first), Some(last)) = (self.at.first(), self.at.last()) else {
            return 0.0..1.0;
        };
        let margin = 0.02 * (last - first);
        first - margin..last + margin
    }
}

impl ValueFormatter<f64> for Axis {
    fn format_ext(&self, at: &f64) -> String {
        let is_at = |known: &f64| known.to_bits() == at.to_bits();
        let index = self.at.iter().position(is_at);
        let label = index.and_then(|index| self.labels.get(index));
        label.cloned().unwrap_or_default()
    }
}

/// Whether an example of a scenario's key is a time, such as `50ms` or `30s..120s`.
fn is_time(example: &str) -> bool {
    example.starts_with(|sign: char| sign.is_ascii_digit()) && example.ends_with('s')
}

fn panel(
    area: &Area<'_>,
    axis: &Axis,
    title: &str,
    lines: &[Line<'_>],
    has_slo: bool,
) -> Result<(), Failure> {
    let values = |line: &'_ Line<'_>| -> Vec<(f64, f64)> {
        let values = if has_slo {
            &line.bad_percent
        } else {
            &line.pod_hours
        };
        axis.at
            .iter()
            .copied()
            .zip(values.iter().copied())
            .collect()
    };
    let points: Vec<Vec<(f64, f64)>> = lines.iter().map(values).collect();
    let least = if has_slo {
        2.0 * SLO
    } else {
        f64::MIN_POSITIVE
    };
    let most = points.iter().flatten().map(|point| point.1);
    let top = 1.08 * most.fold(least, f64::max);
    let Range {
        start: left,
        end: right,
    } = axis.range();
    let mut chart = ChartBuilder::on(area)
        .margin(8)
        .margin_right(24)
        .x_label_area_size(42)
        .y_label_area_size(70)
        .build_cartesian_2d(axis.clone(), 0.0..top)?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .label_style(("sans-serif", 14))
        .axis_desc_style(("sans-serif", 14))
        .x_desc(axis.title.as_str())
        .y_desc(title)
        .y_labels(6)
        .y_label_formatter(&|value| format!("{value}"))
        .draw()?;
    if has_slo {
        let above = Rectangle::new([(left, SLO), (right, top)], RED.mix(0.06).filled());
        chart.draw_series([above])?;
        let line = [(left, SLO), (right, SLO)];
        chart.draw_series(DashedLineSeries::new(line, 10, 6, RED.stroke_width(2)))?;
    }
    for (line, points) in lines.iter().zip(&points) {
        let color = line.color;
        let bad = axis
            .at
            .iter()
            .copied()
            .zip(line.bad_percent.iter().copied());
        let bad: Vec<(f64, f64)> = bad.collect();
        for at in crossings(&bad) {
            let mark = [(at, 0.0), (at, top)];
            chart.draw_series(DashedLineSeries::new(mark, 3, 3, color.stroke_width(1)))?;
        }
        let path = LineSeries::new(points.iter().copied(), color.stroke_width(2));
        chart.draw_series(path)?;
        let dots = points
            .iter()
            .map(|point| Circle::new(*point, 4, color.filled()));
        chart.draw_series(dots)?;
        let broken = points.iter().zip(&bad).filter(|(_, bad)| bad.1 > SLO);
        let rings = broken.map(|(point, _)| Circle::new(*point, 7, RED.stroke_width(2)));
        chart.draw_series(rings)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn axis(sweep: &str) -> Axis {
        Axis::of(&sweep.parse().unwrap())
    }

    #[test]
    fn the_axis_is_the_key_with_its_unit() {
        let delay = axis("start-delay=0..300/4");
        assert!(delay.title.starts_with("start-delay: the time from "));
        assert_eq!(delay.labels, ["0s", "100s", "200s", "300s"]);
        assert_eq!(delay.at, [0.0, 100.0, 200.0, 300.0]);
        let target = axis("target=10ms..1s/3");
        assert_eq!(target.title, "target: the target for the mean wait");
        assert_eq!(target.labels, ["10ms", "100ms", "1s"]);
        let [first, middle, last] = target.at.as_slice() else {
            panic!("{:?}", target.at);
        };
        assert!((middle - first - (last - middle)).abs() < 1e-9);
        let workers = axis("workers=1..8/4");
        assert_eq!(workers.title, "workers: workers per pod");
        assert_eq!(workers.labels, ["1", "2", "4", "8"]);
    }

    #[test]
    fn labels_of_many_values_are_thinned_out() {
        let axis = axis("cv=0..10/50");
        let labelled = axis.labelled();
        assert!(labelled.len() <= MAX_LABELS, "{labelled:?}");
        assert_eq!(labelled.last(), axis.at.last());
        assert!(labelled.iter().all(|at| !axis.format_ext(at).is_empty()));
    }

    #[test]
    fn the_values_that_break_the_slo_are_listed() {
        let cases: [(&[f64], &str); 6] = [
            (&[0.0, 0.5, 1.0, 0.9], "meets the SLO at every value"),
            (&[1.1, 2.0, 3.0, 4.0], "breaks the SLO at every value"),
            (&[0.5, 1.0, 1.1, 9.0], "breaks the SLO at 3..4"),
            (&[5.0, 0.0, 0.0, 0.0], "breaks the SLO at 1"),
            (&[2.0, 0.0, 0.0, 2.0], "breaks the SLO at 1, 4"),
            (&[2.0, 2.0, 0.0, 2.0], "breaks the SLO at 1..2, 4"),
        ];
        let values: Vec<String> = (1..=4).map(|value| value.to_string()).collect();
        for (bad_percent, expected) in cases {
            assert_eq!(broken(bad_percent, &values), expected, "{bad_percent:?}");
        }
    }

    #[test]
    fn a_line_crosses_the_slo_between_two_points() {
        assert_eq!(crossings(&[(0.0, 0.0), (10.0, 2.0), (20.0, 4.0)]), [5.0]);
        assert_eq!(crossings(&[(0.0, 3.0), (8.0, 1.0)]), [8.0]);
        assert!(crossings(&[(0.0, 0.0), (10.0, 1.0)]).is_empty());
        assert!(crossings(&[(0.0, 2.0), (10.0, 3.0)]).is_empty());
    }
}
