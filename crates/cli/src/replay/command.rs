//! `pushscale replay`: replays recorded cases and reports differences.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line prints"
)]

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use pushscale_decision::Decision;

use super::{CaseError, Line, SAFER_THAN_THE_HPA, decide_again, read_lines, replay};

/// The file cannot be read, or is not one of cases.
const UNUSABLE: u8 = 2;

/// Decides recorded cases again.
#[derive(Debug, Args)]
pub struct ReplayOptions {
    /// Files of recorded cases, a line each; `-` is the standard input. An aggregator gives its own at
    /// `/debug/scalers/NAMESPACE/NAME/decisions.jsonl`
    #[arg(required = true, value_name = "FILE.jsonl")]
    files: Vec<PathBuf>,
    /// Tell every decision, not only those that come out otherwise
    #[arg(long)]
    explain: bool,
    /// Tell so many differences at the most
    #[arg(long, default_value_t = 10, value_name = "N")]
    most: usize,
}

/// What was found so far.
#[derive(Debug, Default)]
struct Tally {
    cases: usize,
    decisions: usize,
    different: usize,
    safer: usize,
}

/// Replays all cases of the files and prints the differences.
pub fn run(options: &ReplayOptions) -> ExitCode {
    let mut tally = Tally::default();
    for file in &options.files {
        let name = file.display();
        let lines: Box<dyn BufRead> = if file.as_os_str() == "-" {
            Box::new(io::stdin().lock())
        } else {
            match File::open(file) {
                Ok(open) => Box::new(BufReader::new(open)),
                Err(error) => {
                    eprintln!("failed to read {name}: {error}");
                    return ExitCode::from(UNUSABLE);
                }
            }
        };
        if let Err(error) = replay_lines(options, lines, &mut tally) {
            eprintln!("{name}: {error}");
            return ExitCode::from(UNUSABLE);
        }
    }
    println!(
        "{} cases, {} decisions, {} cases come out otherwise",
        tally.cases, tally.decisions, tally.different
    );
    if tally.safer > 0 {
        println!(
            "{} more do so on purpose: the HPA's integers overflow there, and ours do not",
            tally.safer
        );
    }
    if tally.different > 0 {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}

fn replay_lines(
    options: &ReplayOptions,
    lines: Box<dyn BufRead>,
    tally: &mut Tally,
) -> Result<(), CaseError> {
    for line in read_lines(lines) {
        let difference = match line? {
            Line::Case(case) => {
                tally.decisions += case.steps.len();
                let difference = replay(&case)?;
                if difference.is_some() && SAFER_THAN_THE_HPA.contains(&case.name.as_str()) {
                    tally.safer += 1;
                    None
                } else {
                    difference.map(|difference| difference.to_string())
                }
            }
            Line::Recording { line, recording } => {
                tally.decisions += recording.steps.len();
                let explain = |decision: &Decision| {
                    if options.explain {
                        let at = decision.at.since_origin().as_secs_f64();
                        println!("{at:.3} s: {decision}");
                    }
                };
                decide_again(line, &recording, explain)?.map(|deviation| deviation.to_string())
            }
        };
        tally.cases += 1;
        if let Some(difference) = difference {
            tally.different += 1;
            if tally.different <= options.most {
                println!("{difference}");
            }
        }
    }
    Ok(())
}
