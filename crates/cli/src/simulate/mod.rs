//! `pushscale simulate`: what a PushScaler, or another autoscaler, makes of a load on a simulated cluster.

#![expect(clippy::print_stderr, reason = "a command line prints")]

mod chart;
mod contender;
mod explain;
mod figures;
mod json;
mod options;
mod outputs;
mod request;
mod run;
mod seeds;
mod table;

use std::io::{self, Write as _};
use std::process::ExitCode;

pub use options::SimulateOptions;

use request::Request;

/// What was asked for cannot be: mistakes in files or options, or a file that cannot be written.
const UNUSABLE: u8 = 2;

/// Runs the simulation and prints or writes its results. Exits with 2 if options or files are unusable.
pub fn run(options: &SimulateOptions) -> ExitCode {
    let request = match Request::of(options) {
        Ok(request) => request,
        Err(mistakes) => {
            eprintln!("{mistakes}");
            return ExitCode::from(UNUSABLE);
        }
    };
    let played = run::play(&request);
    match tell(options, &request, &played) {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever reads has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(UNUSABLE)
        }
    }
}

fn tell(options: &SimulateOptions, request: &Request, played: &[run::Played]) -> io::Result<()> {
    let (mut said, mut json) = (String::new(), None);
    if let Some(file) = &options.json {
        json = Some((file, json::write(request, played, options.per_second)?));
    }
    match &json {
        Some((file, text)) if file.as_os_str() == "-" => said.push_str(text),
        _ => {
            for (index, played) in played.iter().enumerate() {
                if index > 0 {
                    said.push('\n');
                }
                said.push_str(&table::write(request, played));
                if options.explain {
                    said.push_str(&explain::write(request, played));
                }
            }
        }
    }
    if let Some((file, text)) = json.filter(|(file, _)| file.as_os_str() != "-") {
        outputs::write(file, &text)?;
    }
    if let (Some(file), [only]) = (&options.svg, played) {
        outputs::write(file, &chart::draw(request, only)?)?;
    }
    if let (Some(file), [only]) = (&options.save, played) {
        outputs::write(file, &outputs::saved(file, request, only))?;
    }
    let mut out = io::stdout().lock();
    out.write_all(said.as_bytes())?;
    out.flush()
}
