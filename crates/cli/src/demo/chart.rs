//! Draws the chart of a demo: waits of requests and numbers of servers.

use std::io;

use plotters::prelude::*;

use super::monitor::ServerCounts;
use crate::chart::{BLUE, Failure, GREY, RED, svg};

const SIZE: (u32, u32) = (960, 560);

/// Draws an SVG. `waits` has the middle of each second, the mean wait of the requests sent in it, and whether one
/// failed.
pub(crate) fn draw(
    history: &[ServerCounts],
    waits: &[(f64, Option<f64>, bool)],
    target: f64,
) -> io::Result<String> {
    svg(|picture| plot(picture, history, waits, target))
}

fn plot(
    picture: &mut String,
    history: &[ServerCounts],
    waits: &[(f64, Option<f64>, bool)],
    target: f64,
) -> Result<(), Failure> {
    let area = SVGBackend::with_string(picture, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let end = history.last().map_or(1.0, |counts| counts.at).max(1.0);
    let (upper, lower) = area.split_vertically(320);

    let most = waits
        .iter()
        .filter_map(|(_, wait, _)| *wait)
        .fold(4.0 * target, f64::max);
    let mut chart = ChartBuilder::on(&upper)
        .caption(
            "mean wait of the requests sent in each second",
            ("sans-serif", 16),
        )
        .margin(12)
        .x_label_area_size(30)
        .y_label_area_size(60)
        .build_cartesian_2d(0.0..end, 0.0..most * 1.08)?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(TRANSPARENT)
        .y_desc("seconds")
        .x_label_formatter(&|at| format!("{at:.0}"))
        .draw()?;
    // Thin red bars behind the line mark seconds with failed requests.
    chart.draw_series(waits.iter().filter(|(.., failed)| *failed).map(|(at, ..)| {
        Rectangle::new(
            [(at - 0.5, 0.0), (at + 0.5, most * 1.08)],
            RED.mix(0.25).filled(),
        )
    }))?;
    chart.draw_series(LineSeries::new(
        [(0.0, target), (end, target)],
        GREY.stroke_width(1),
    ))?;
    // No line where no request was completed: a gap is not a zero.
    for run in waits.split(|(_, wait, _)| wait.is_none()) {
        let points = run.iter().filter_map(|(at, wait, _)| Some((*at, (*wait)?)));
        chart.draw_series(LineSeries::new(points, BLUE.stroke_width(2)))?;
    }

    let top = history
        .iter()
        .map(|counts| counts.desired)
        .max()
        .unwrap_or(1);
    let mut chart = ChartBuilder::on(&lower)
        .caption("servers: desired (grey), ready (blue)", ("sans-serif", 16))
        .margin(12)
        .x_label_area_size(36)
        .y_label_area_size(60)
        .build_cartesian_2d(0.0..end, 0.0..f64::from(top) + 0.5)?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(TRANSPARENT)
        .x_desc("seconds since the load began")
        .y_labels(top as usize + 1)
        .y_label_formatter(&|count| format!("{count:.0}"))
        .x_label_formatter(&|at| format!("{at:.0}"))
        .draw()?;
    let desired = history
        .iter()
        .map(|counts| (counts.at, f64::from(counts.desired)));
    let ready = history
        .iter()
        .map(|counts| (counts.at, counts.ready as f64));
    chart.draw_series(LineSeries::new(stairs(desired), GREY.stroke_width(3)))?;
    chart.draw_series(LineSeries::new(stairs(ready), BLUE.stroke_width(2)))?;
    area.present()?;
    drop(chart);
    Ok(())
}

/// Turns points into steps: a number of servers holds until the next one.
fn stairs(points: impl Iterator<Item = (f64, f64)>) -> Vec<(f64, f64)> {
    let mut corners: Vec<(f64, f64)> = Vec::new();
    for (at, count) in points {
        if let Some((_, before)) = corners.last().copied()
            && (before - count).abs() > f64::EPSILON
        {
            corners.push((at, before));
        }
        corners.push((at, count));
    }
    corners
}
