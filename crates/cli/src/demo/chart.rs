//! The picture of a demo: how long requests waited, and how many servers there were.

use std::io;

use plotters::prelude::*;

use super::live::Note;

const SIZE: (u32, u32) = (960, 560);
const BLUE: RGBColor = RGBColor(37, 99, 235);
const GREY: RGBColor = RGBColor(148, 163, 184);
const RED: RGBColor = RGBColor(220, 38, 38);

/// An SVG. `waits` has a second's middle, the mean wait of the requests sent in it, and whether one failed.
pub(crate) fn draw(
    history: &[Note],
    waits: &[(f64, Option<f64>, bool)],
    target: f64,
) -> io::Result<String> {
    let mut picture = String::new();
    plot(&mut picture, history, waits, target)
        .map_err(|error| io::Error::other(error.to_string()))?;
    Ok(picture)
}

type Failure = Box<dyn std::error::Error>;

fn plot(
    picture: &mut String,
    history: &[Note],
    waits: &[(f64, Option<f64>, bool)],
    target: f64,
) -> Result<(), Failure> {
    let area = SVGBackend::with_string(picture, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let end = history.last().map_or(1.0, |note| note.at).max(1.0);
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
    // Seconds in which a request failed, as thin red bars behind the line.
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
    // Where nothing was answered there is no line: a gap is not a zero.
    for run in waits.split(|(_, wait, _)| wait.is_none()) {
        let points = run.iter().filter_map(|(at, wait, _)| Some((*at, (*wait)?)));
        chart.draw_series(LineSeries::new(points, BLUE.stroke_width(2)))?;
    }

    let top = history.iter().map(|note| note.wanted).max().unwrap_or(1);
    let mut chart = ChartBuilder::on(&lower)
        .caption("servers: wanted (grey), ready (blue)", ("sans-serif", 16))
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
        .y_label_formatter(&|size| format!("{size:.0}"))
        .x_label_formatter(&|at| format!("{at:.0}"))
        .draw()?;
    let wanted = history.iter().map(|note| (note.at, f64::from(note.wanted)));
    #[expect(clippy::cast_precision_loss, reason = "a number of servers")]
    let ready = history.iter().map(|note| (note.at, note.ready as f64));
    chart.draw_series(LineSeries::new(stairs(wanted), GREY.stroke_width(3)))?;
    chart.draw_series(LineSeries::new(stairs(ready), BLUE.stroke_width(2)))?;
    area.present()?;
    drop(chart);
    Ok(())
}

/// A size holds until the next one: corners, not slopes.
fn stairs(points: impl Iterator<Item = (f64, f64)>) -> Vec<(f64, f64)> {
    let mut corners: Vec<(f64, f64)> = Vec::new();
    for (at, size) in points {
        if let Some((_, before)) = corners.last().copied()
            && (before - size).abs() > f64::EPSILON
        {
            corners.push((at, before));
        }
        corners.push((at, size));
    }
    corners
}
