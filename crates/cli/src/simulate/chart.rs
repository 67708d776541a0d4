//! Draws the chart of a run: arrivals, pods and waits.

use std::io;
use std::ops::Range;

use plotters::coord::Shift;
use plotters::prelude::*;
use pushscale_simulator::cluster::{Outcome, Second};

use super::figures::time;
use super::request::Request;
use super::run::Results;
use crate::chart::{BLUE, Failure, GREY, RED, svg};

const WIDTH: u32 = 960;
const HEIGHT: u32 = 170;
const HEAD: u32 = 34;

/// The maximum number of points of a line. More are not visible and take time to load.
const POINTS: usize = 900;

/// Waits are cut off at this multiple of the target.
const MAX_WAIT: f64 = 8.0;

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// Draws an SVG of the first seed: a panel for the arrivals, and for each candidate one for pods and one for waits.
pub(super) fn draw(request: &Request, results: &Results<'_>) -> io::Result<String> {
    svg(|picture| plot(picture, request, results))
}

fn plot(picture: &mut String, request: &Request, results: &Results<'_>) -> Result<(), Failure> {
    let runs: Vec<(&str, &Outcome)> = request
        .candidates
        .iter()
        .zip(&results.outcomes)
        .filter_map(|(candidate, outcomes)| Some((candidate.name.as_str(), outcomes.first()?)))
        .collect();
    let panels = u32::try_from(1 + 2 * runs.len())?;
    let size = (WIDTH, HEAD + panels * HEIGHT);
    let area = SVGBackend::with_string(picture, size).into_drawing_area();
    area.fill(&WHITE)?;
    let area = area.titled(&results.scenario.name, ("sans-serif", 18))?;
    let panels = area.split_evenly((panels as usize, 1));
    let Some(axis) = runs.first().map(|(_, run)| Axis::of(run.seconds.len())) else {
        return Ok(());
    };
    if let Some((_, run)) = runs.first() {
        arrivals(&panels[0], &axis, &run.seconds)?;
    }
    let top = runs.iter().flat_map(|(_, run)| &run.seconds);
    let top = top.map(|second| second.desired.max(second.ready)).max();
    let target = results.scenario.cluster.goal.target;
    for ((name, run), panels) in runs.iter().zip(panels[1..].chunks(2)) {
        pods(&panels[0], &axis, name, run, top.unwrap_or(1))?;
        waits(&panels[1], &axis, name, run, target)?;
    }
    area.present()?;
    Ok(())
}

/// The mapping of seconds to points.
struct Axis {
    seconds: usize,
    /// Seconds per point.
    step: usize,
    /// Seconds per unit of the axis.
    unit: f64,
    unit_name: &'static str,
}

impl Axis {
    fn of(seconds: usize) -> Self {
        let (unit, unit_name) = match seconds {
            0..=600 => (1.0, "seconds"),
            601..=14_400 => (60.0, "minutes"),
            _ => (3600.0, "hours"),
        };
        Self {
            seconds,
            step: seconds.div_ceil(POINTS).max(1),
            unit,
            unit_name,
        }
    }

    fn range(&self) -> Range<f64> {
        0.0..self.at(self.seconds)
    }

    fn at(&self, second: usize) -> f64 {
        second as f64 / self.unit
    }
}

type Chart<'a> = ChartContext<
    'a,
    SVGBackend<'a>,
    Cartesian2d<plotters::coord::types::RangedCoordf64, plotters::coord::types::RangedCoordf64>,
>;

fn panel<'a>(
    area: &Area<'a>,
    axis: &Axis,
    caption: &str,
    top: f64,
    label: &dyn Fn(&f64) -> String,
) -> Result<Chart<'a>, Failure> {
    let mut chart = ChartBuilder::on(area)
        .caption(caption, ("sans-serif", 14))
        .margin(6)
        .margin_right(16)
        .x_label_area_size(24)
        .y_label_area_size(60)
        .build_cartesian_2d(axis.range(), 0.0..top)?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(TRANSPARENT)
        .y_labels(5)
        .x_label_formatter(&|at| format!("{at}"))
        .y_label_formatter(label)
        .draw()?;
    Ok(chart)
}

fn arrivals(area: &Area<'_>, axis: &Axis, seconds: &[Second]) -> Result<(), Failure> {
    let points: Vec<(f64, f64)> = seconds
        .chunks(axis.step)
        .enumerate()
        .map(|(index, chunk)| {
            let sum: u64 = chunk.iter().map(|second| u64::from(second.arrivals)).sum();
            (axis.at(index * axis.step), sum as f64 / chunk.len() as f64)
        })
        .collect();
    let most = points.iter().map(|(_, rate)| *rate).fold(1.0, f64::max);
    let caption = match axis.step {
        1 => format!("requests per second; {}", axis.unit_name),
        step => format!(
            "requests per second, averaged over {step} s; {}",
            axis.unit_name
        ),
    };
    let mut chart = panel(area, axis, &caption, most * 1.08, &|rate| format!("{rate}"))?;
    chart.draw_series(LineSeries::new(points, BLUE.stroke_width(1)))?;
    Ok(())
}

fn pods(area: &Area<'_>, axis: &Axis, name: &str, run: &Outcome, top: u32) -> Result<(), Failure> {
    let caption = format!(
        "{name}: pods desired (grey), ready (blue); {:.1} pod-hours",
        run.pod_hours
    );
    let top = f64::from(top) * 1.08 + 0.2;
    let mut chart = panel(area, axis, &caption, top, &|count| format!("{count}"))?;
    let desired = stairs(axis, &run.seconds, |second| second.desired);
    let ready = stairs(axis, &run.seconds, |second| second.ready);
    chart.draw_series(LineSeries::new(desired, GREY.stroke_width(3)))?;
    chart.draw_series(LineSeries::new(ready, BLUE.stroke_width(2)))?;
    Ok(())
}

fn waits(
    area: &Area<'_>,
    axis: &Axis,
    name: &str,
    run: &Outcome,
    target: f64,
) -> Result<(), Failure> {
    let points: Vec<(f64, Option<f64>)> = run
        .seconds
        .chunks(axis.step)
        .enumerate()
        .map(|(index, chunk)| {
            let waits = chunk.iter().filter_map(|second| second.mean_wait);
            (axis.at(index * axis.step), waits.reduce(f64::max))
        })
        .collect();
    let most = points.iter().filter_map(|(_, wait)| *wait);
    let most = most.fold(2.0 * target, f64::max).min(MAX_WAIT * target);
    let maximum = match axis.step {
        1 => String::new(),
        step => format!(", maximum of {step}"),
    };
    let caption = format!(
        "{name}: mean wait of each second's requests{maximum}, target {} (grey); {} violation seconds (red)",
        time(target),
        run.violation_seconds
    );
    let mut chart = panel(area, axis, &caption, most * 1.04, &|wait| time(*wait))?;
    chart.draw_series(violations(axis, &run.seconds).map(|(from, to)| {
        let corners = [(from, 0.0), (to, most * 1.04)];
        Rectangle::new(corners, RED.mix(0.25).filled())
    }))?;
    let ends = axis.range();
    let line = [(ends.start, target), (ends.end, target)];
    chart.draw_series(LineSeries::new(line, GREY.stroke_width(2)))?;
    // No line where no request was completed: a gap is not a zero.
    for part in points.split(|(_, wait)| wait.is_none()) {
        let points = part
            .iter()
            .filter_map(|(at, wait)| Some((*at, (*wait)?.min(most * 1.04))));
        chart.draw_series(LineSeries::new(points, BLUE.stroke_width(1)))?;
    }
    Ok(())
}

/// Returns begin and end of each violation, at least as wide as a point.
fn violations<'a>(axis: &'a Axis, seconds: &'a [Second]) -> impl Iterator<Item = (f64, f64)> + 'a {
    let violated = |chunk: &[Second]| chunk.iter().any(|second| second.violated);
    let chunks: Vec<bool> = seconds.chunks(axis.step).map(violated).collect();
    let mut from = 0;
    std::iter::from_fn(move || {
        while !*chunks.get(from)? {
            from += 1;
        }
        let begin = from;
        while chunks.get(from).is_some_and(|violated| *violated) {
            from += 1;
        }
        Some((axis.at(begin * axis.step), axis.at(from * axis.step)))
    })
}

/// Turns counts into steps: a count holds until the next one.
fn stairs(axis: &Axis, seconds: &[Second], count: fn(&Second) -> u32) -> Vec<(f64, f64)> {
    let mut corners: Vec<(f64, f64)> = Vec::new();
    let mut before = None;
    for (index, second) in seconds.iter().enumerate() {
        let count = count(second);
        if before != Some(count) {
            // The count changes at the end of its second.
            let at = axis.at(index + 1);
            corners.extend(before.map(|before| (at, f64::from(before))));
            corners.push((if before.is_none() { 0.0 } else { at }, f64::from(count)));
            before = Some(count);
        }
    }
    corners.extend(before.map(|count| (axis.at(seconds.len()), f64::from(count))));
    corners
}
