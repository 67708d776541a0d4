//! `pushscale simulate`: simulates PushScalers and other autoscalers under a load on a simulated cluster.

#![expect(clippy::print_stderr, reason = "a command line prints")]

mod candidate;
mod chart;
mod explain;
mod figures;
mod json;
mod options;
mod outputs;
mod record;
mod request;
mod run;
mod seeds;
mod sweep_chart;
mod table;
mod trade_off_chart;

use std::fs;
use std::path::Path;
use std::process::ExitCode;

pub use options::SimulateOptions;

use crate::CommandError;
use crate::output::print;
use request::Request;
use run::Results;

/// The exit code for errors in files or options.
const UNUSABLE: u8 = 2;

/// Runs the simulation and prints or writes its results. Exits with 2 if options or files are unusable.
///
/// # Errors
/// If the load cannot be read from the cluster, or if a result cannot be written.
pub fn run(options: &SimulateOptions) -> Result<ExitCode, CommandError> {
    let recorded = options.record.read(options.save.as_deref())?;
    let request = match Request::new(options, recorded.as_ref()) {
        Ok(request) => request,
        Err(errors) => {
            eprintln!("{errors}");
            return Ok(ExitCode::from(UNUSABLE));
        }
    };
    let results = run::run(&request);
    write_results(options, &request, &results)?;
    Ok(ExitCode::SUCCESS)
}

fn write_results(
    options: &SimulateOptions,
    request: &Request,
    results: &[Results],
) -> Result<(), CommandError> {
    let (mut output, mut json) = (String::new(), None);
    if let Some(file) = &options.json {
        json = Some((file, json::write(request, results, options.per_second)?));
    }
    match &json {
        Some((file, text)) if file.as_os_str() == "-" => output.push_str(text),
        _ => output.push_str(&tables(options, request, results)),
    }
    if let Some((file, text)) = json.filter(|(file, _)| file.as_os_str() != "-") {
        fs::write(file, text).map_err(CommandError::write(file))?;
    }
    if let (Some(file), Some(sweep)) = (&options.svg, &request.sweep) {
        let chart = if sweep.key == candidate::PRICE {
            trade_off_chart::draw(request, sweep, results)?
        } else {
            sweep_chart::draw(request, sweep, results)?
        };
        fs::write(file, chart).map_err(CommandError::write(file))?;
    } else if let (Some(file), [only]) = (&options.svg, results) {
        let chart = chart::draw(request, only)?;
        fs::write(file, chart).map_err(CommandError::write(file))?;
    }
    if let (Some(file), [only]) = (&options.save, results) {
        let scenario = saved_scenario(file, request, only);
        fs::write(file, scenario).map_err(CommandError::write(file))?;
    }
    print(&output)
}

fn tables(options: &SimulateOptions, request: &Request, results: &[Results]) -> String {
    if let Some(sweep) = &request.sweep {
        return table::write_sweep(request, sweep, results);
    }
    let mut text = String::new();
    for (index, results) in results.iter().enumerate() {
        if index > 0 {
            text.push('\n');
        }
        text.push_str(&table::write(request, results));
        if options.explain {
            text.push_str(&explain::write(request, results));
        }
    }
    text
}

/// Formats the scenario with all defaults, so that it can be run again.
fn saved_scenario(file: &Path, request: &Request, results: &Results<'_>) -> String {
    let directory = file
        .parent()
        .filter(|directory| *directory != Path::new(""))
        .unwrap_or_else(|| Path::new("."));
    format!(
        "# Written by pushscale simulate --save, with all defaults ({}).\n{}",
        seeds::name(&request.seeds),
        results.scenario.write(Some(directory))
    )
}
