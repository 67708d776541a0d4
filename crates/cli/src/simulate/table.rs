//! Formats the results as a table with a line for each candidate.

use std::fmt::Write as _;

use super::figures::{FIGURES, Spread};
use super::request::Request;
use super::run::Results;
use super::seeds;

pub(super) fn write(request: &Request, results: &Results<'_>) -> String {
    let mut text = head(request, results);
    let shown = || FIGURES.iter().filter(|figure| figure.head.is_some());
    let mut lines = vec![
        std::iter::once("controller".to_owned())
            .chain(shown().filter_map(|figure| figure.head.map(str::to_owned)))
            .collect::<Vec<_>>(),
    ];
    for (candidate, outcomes) in request.candidates.iter().zip(&results.outcomes) {
        let mut cells = vec![candidate.name.clone()];
        cells.extend(shown().map(|figure| {
            let spread = Spread::of(figure, outcomes);
            let show = figure.show;
            let mean = show(spread.mean);
            if outcomes.len() < 2 || !figure.spread {
                return mean;
            }
            format!("{mean} ({}…{})", show(spread.min), show(spread.max))
        }));
        lines.push(cells);
    }
    let columns = lines[0].len();
    let widths: Vec<usize> = (0..columns)
        .map(|column| lines.iter().map(|line| width(&line[column])).max())
        .map(Option::unwrap_or_default)
        .collect();
    for line in &lines {
        for (column, cell) in line.iter().enumerate() {
            let blanks = " ".repeat(widths[column] - width(cell));
            if column == 0 {
                text.push_str(cell);
                text.push_str(if columns > 1 { &blanks } else { "" });
            } else {
                text.push_str("  ");
                text.push_str(&blanks);
                text.push_str(cell);
            }
        }
        text.push('\n');
    }
    text
}

/// Formats the scenario and the defaults that were used.
fn head(request: &Request, results: &Results<'_>) -> String {
    let scenario = results.scenario;
    let mut text = String::new();
    let mut line = |line: String| {
        text.push_str(&line);
        text.push('\n');
    };
    line(scenario.name.clone());
    let seconds = scenario.world.traffic.seconds();
    let spread = if request.seeds.len() > 1 {
        ": mean (min…max)"
    } else {
        ""
    };
    line(format!(
        "{}, {seconds} s, {}{spread}",
        scenario.source,
        seeds::name(&request.seeds)
    ));
    if !scenario.assumed.is_empty() {
        let entries = scenario.entries(None);
        let mut assumed = String::new();
        for (key, value) in &entries {
            if scenario.assumed.contains(key) {
                let comma = if assumed.is_empty() { "" } else { ", " };
                // Writing to a String cannot fail.
                write!(assumed, "{comma}{key} {value}").unwrap_or_default();
            }
        }
        line(format!("defaults: {assumed}"));
    }
    for note in request
        .candidates
        .iter()
        .flat_map(|candidate| candidate.notes(scenario))
    {
        line(note);
    }
    line(String::new());
    text
}

fn width(cell: &str) -> usize {
    cell.chars().count()
}
