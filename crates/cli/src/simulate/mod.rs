//! `pushscale simulate`: simulates PushScalers and other autoscalers under a load on a simulated cluster.

#![expect(clippy::print_stderr, reason = "a command line prints")]

mod candidate;
mod chart;
mod explain;
mod figures;
mod json;
mod options;
mod outputs;
mod request;
mod run;
mod seeds;
mod table;

use std::fs;
use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;

pub use options::SimulateOptions;

use request::Request;
use run::Results;

/// The exit code for errors in files or options, and for a file that cannot be written.
const UNUSABLE: u8 = 2;

/// Runs the simulation and prints or writes its results. Exits with 2 if options or files are unusable.
pub fn run(options: &SimulateOptions) -> ExitCode {
    let request = match Request::new(options) {
        Ok(request) => request,
        Err(mistakes) => {
            eprintln!("{mistakes}");
            return ExitCode::from(UNUSABLE);
        }
    };
    let results = run::run(&request);
    match write_results(options, &request, &results) {
        Ok(()) => ExitCode::SUCCESS,
        // The reader of a pipe has closed it.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(UNUSABLE)
        }
    }
}

fn write_results(
    options: &SimulateOptions,
    request: &Request,
    results: &[Results],
) -> io::Result<()> {
    let (mut output, mut json) = (String::new(), None);
    if let Some(file) = &options.json {
        json = Some((file, json::write(request, results, options.per_second)?));
    }
    match &json {
        Some((file, text)) if file.as_os_str() == "-" => output.push_str(text),
        _ => {
            for (index, results) in results.iter().enumerate() {
                if index > 0 {
                    output.push('\n');
                }
                output.push_str(&table::write(request, results));
                if options.explain {
                    output.push_str(&explain::write(request, results));
                }
            }
        }
    }
    if let Some((file, text)) = json.filter(|(file, _)| file.as_os_str() != "-") {
        write_file(file, &text)?;
    }
    if let (Some(file), [only]) = (&options.svg, results) {
        write_file(file, &chart::draw(request, only)?)?;
    }
    if let (Some(file), [only]) = (&options.save, results) {
        write_file(file, &saved_scenario(file, request, only))?;
    }
    let mut out = io::stdout().lock();
    out.write_all(output.as_bytes())?;
    out.flush()
}

/// Writes a file. The error names it.
fn write_file(file: &Path, text: &str) -> io::Result<()> {
    fs::write(file, text).map_err(|error| {
        let message = format!("failed to write {}: {error}", file.display());
        io::Error::other(message)
    })
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
