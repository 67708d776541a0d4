//! Draws the trade-off of a sweep of the price: pod-hours against bad requests.

use std::io;

use plotters::prelude::*;
use pushscale_simulator::cluster::Outcome;
use pushscale_simulator::scenario::Sweep;

use super::request::Request;
use super::run::Results;
use crate::chart::{BLUE, Failure, GREEN, RED, SLATE, svg};

const SIZE: (u32, u32) = (960, 540);
const COLORS: [RGBColor; 4] = [BLUE, RED, GREEN, SLATE];

/// Draws an SVG with a line for each candidate. Each point is a value of the sweep, the mean of the seeds.
pub(super) fn draw(
    request: &Request,
    sweep: &Sweep,
    results: &[Results<'_>],
) -> io::Result<String> {
    svg(|picture| plot(picture, request, sweep, results))
}

fn plot(
    picture: &mut String,
    request: &Request,
    sweep: &Sweep,
    results: &[Results<'_>],
) -> Result<(), Failure> {
    let lines: Vec<Vec<(f64, f64)>> = (0..request.candidates.len())
        .map(|candidate| {
            let outcomes = results.iter().map(|of| &of.outcomes[candidate]);
            outcomes.map(|outcomes| point(outcomes)).collect()
        })
        .collect();
    let most = |of: fn(&(f64, f64)) -> f64| {
        let all = lines.iter().flatten();
        1.08 * all.map(of).fold(f64::MIN_POSITIVE, f64::max)
    };
    let (hours, bad) = (most(|point| point.0), most(|point| point.1));
    let area = SVGBackend::with_string(picture, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let name = results.first().map_or("", |first| &first.scenario.name);
    let caption = format!(
        "{name}: bad requests in percent, by pod-hours; each point is a {}",
        sweep.key
    );
    let mut chart = ChartBuilder::on(&area)
        .caption(caption, ("sans-serif", 16))
        .margin(10)
        .margin_right(24)
        .x_label_area_size(30)
        .y_label_area_size(60)
        .build_cartesian_2d(0.0..hours, 0.0..bad)?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .x_label_formatter(&|hours| format!("{hours}"))
        .y_label_formatter(&|bad| format!("{bad}"))
        .draw()?;
    for (index, (candidate, points)) in request.candidates.iter().zip(&lines).enumerate() {
        let color = COLORS[index % COLORS.len()];
        chart
            .draw_series(LineSeries::new(
                points.iter().copied(),
                color.stroke_width(2),
            ))?
            .label(candidate.name.as_str())
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 20, y)], color.stroke_width(2)));
        chart.draw_series(
            points
                .iter()
                .map(|point| Circle::new(*point, 4, color.filled())),
        )?;
        chart.draw_series(points.iter().zip(&sweep.values).map(|(point, value)| {
            Text::new(
                value.clone(),
                (point.0, point.1),
                ("sans-serif", 12).into_font(),
            )
        }))?;
    }
    chart
        .configure_series_labels()
        .border_style(BLACK.mix(0.3))
        .background_style(WHITE.mix(0.8))
        .draw()?;
    area.present()?;
    Ok(())
}

/// Returns pod-hours and bad requests in percent, the means of the seeds.
pub(super) fn point(outcomes: &[Outcome]) -> (f64, f64) {
    let mean = |of: fn(&Outcome) -> f64| {
        outcomes.iter().map(of).sum::<f64>() / outcomes.len().max(1) as f64
    };
    (mean(|of| of.pod_hours), mean(|of| of.bad_percent))
}
