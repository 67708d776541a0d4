//! Formats the results as a table with a line for each candidate.

use std::fmt::Write as _;
use std::ops::Range;

use pushscale_simulator::cluster::Outcome;
use pushscale_simulator::scenario::Sweep;

use super::figures::{FIGURES, Spread};
use super::request::Request;
use super::run::Results;
use super::seeds;

pub(super) fn write(request: &Request, results: &Results<'_>) -> String {
    let mut lines = vec![
        std::iter::once("controller".to_owned())
            .chain(headers())
            .collect(),
    ];
    for (candidate, outcomes) in request.candidates.iter().zip(&results.outcomes) {
        let mut cells = vec![candidate.name.clone()];
        cells.extend(figures(outcomes));
        lines.push(cells);
    }
    head(request, results) + &align(&lines, 1)
}

/// Formats the results of all values of a sweep.
pub(super) fn write_sweep(request: &Request, sweep: &Sweep, results: &[Results<'_>]) -> String {
    let Some(first) = results.first() else {
        return String::new();
    };
    let mut lines = vec![
        [sweep.key.clone(), "controller".to_owned()]
            .into_iter()
            .chain(headers())
            .collect(),
    ];
    for (value, results) in sweep.values.iter().zip(results) {
        for (candidate, outcomes) in request.candidates.iter().zip(&results.outcomes) {
            let mut cells = vec![value.clone(), candidate.name.clone()];
            cells.extend(figures(outcomes));
            lines.push(cells);
        }
    }
    head(request, first) + &align(&lines, 2)
}

/// Returns the headers of the columns with figures.
fn headers() -> impl Iterator<Item = String> {
    FIGURES
        .iter()
        .filter_map(|figure| figure.head.map(str::to_owned))
}

/// Formats the figures of a candidate, with minimum and maximum of some if there are several seeds.
fn figures(outcomes: &[Outcome]) -> impl Iterator<Item = String> + '_ {
    let shown = FIGURES.iter().filter(|figure| figure.head.is_some());
    shown.map(|figure| {
        let spread = Spread::of(figure, outcomes);
        let show = figure.show;
        let mean = show(spread.mean);
        if outcomes.len() < 2 || !figure.spread {
            return mean;
        }
        format!("{mean} ({}…{})", show(spread.min), show(spread.max))
    })
}

/// Aligns the columns: the first `names` ones to the left, the others to the right.
fn align(lines: &[Vec<String>], names: usize) -> String {
    let columns = lines.first().map_or(0, Vec::len);
    let widths: Vec<usize> = (0..columns)
        .map(|column| lines.iter().map(|line| width(&line[column])).max())
        .map(Option::unwrap_or_default)
        .collect();
    let mut text = String::new();
    for line in lines {
        for (column, cell) in line.iter().enumerate() {
            let blanks = " ".repeat(widths[column] - width(cell));
            text.push_str(if column > 0 { "  " } else { "" });
            if column < names {
                text.push_str(cell);
                text.push_str(&blanks);
            } else {
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
    let seconds = scenario.cluster.traffic.seconds();
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
    for note in &request.notes {
        line(note.clone());
    }
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
    if !scenario.unknown.is_empty() {
        line(format!("unknown: {}", unknown(&scenario.unknown)));
    }
    if let Some(objective) = scenario.cluster.objective {
        line(format!(
            "requests are judged by the objective {}, not by the target",
            super::figures::time(objective)
        ));
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

/// Describes the gaps of a trace.
fn unknown(gaps: &[Range<usize>]) -> String {
    const MAX_LISTED: usize = 4;
    let listed = gaps.iter().take(MAX_LISTED);
    let mut spans: Vec<String> = listed
        .map(|gap| format!("{}..{}", gap.start, gap.end))
        .collect();
    if gaps.len() > MAX_LISTED {
        spans.push(format!("and {} more gaps", gaps.len() - MAX_LISTED));
    }
    format!(
        "{} s of the trace ({}) have no data; their arrivals are interpolated from the surrounding minutes",
        gaps.iter().map(ExactSizeIterator::len).sum::<usize>(),
        spans.join(", ")
    )
}

fn width(cell: &str) -> usize {
    cell.chars().count()
}
