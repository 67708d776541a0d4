//! The command line of `pushscale replay`.

#![expect(clippy::print_stdout, reason = "a command line prints")]

use std::io::BufRead;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use pushscale_decision::Decision;

use super::error::CaseError;
use super::read::read_lines;
use super::recording::replay_recording;
use crate::{CommandError, input};

/// The options of `pushscale replay`.
#[derive(Debug, Args)]
pub struct ReplayOptions {
    /// Files with one recorded case per line; `-` reads standard input. An aggregator serves its recordings at
    /// `/debug/scalers/NAMESPACE/NAME/decisions.jsonl`
    #[arg(required = true, value_name = "FILE.jsonl")]
    files: Vec<PathBuf>,
    /// Print every decision, not only differences
    #[arg(long)]
    explain: bool,
    /// Print at most N differences
    #[arg(long, default_value_t = 10, value_name = "N")]
    limit: usize,
}

/// Counts over all files.
#[derive(Debug, Default)]
struct Counts {
    cases: usize,
    decisions: usize,
    different: usize,
}

/// Replays all cases of the files and prints the differences. Exits with 1 if there are any.
///
/// # Errors
/// If a file cannot be read or has an invalid line.
pub fn run(options: &ReplayOptions) -> Result<ExitCode, CommandError> {
    let mut counts = Counts::default();
    for file in &options.files {
        let lines = input::open(file)?;
        replay_lines(options, lines, &mut counts).map_err(|source| CommandError::Case {
            file: file.clone(),
            source,
        })?;
    }
    println!(
        "{} cases, {} decisions, {} cases differ",
        counts.cases, counts.decisions, counts.different
    );
    Ok(ExitCode::from(u8::from(counts.different > 0)))
}

fn replay_lines(
    options: &ReplayOptions,
    lines: impl BufRead,
    counts: &mut Counts,
) -> Result<(), CaseError> {
    for line in read_lines(lines) {
        let (line, recording) = line?;
        let explain = |decision: &Decision| {
            if options.explain {
                let at = decision.at.since_origin().as_secs_f64();
                println!("{at:.3} s: {decision}");
            }
        };
        let difference = replay_recording(line, &recording, explain)?;
        counts.decisions += recording.steps.len();
        counts.cases += 1;
        if let Some(difference) = difference {
            counts.different += 1;
            if counts.different <= options.limit {
                println!("{difference}");
            }
        }
    }
    Ok(())
}
