//! Compares `algorithm: Ratio` with the real HorizontalPodAutoscaler. `make conformance` calls this program.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line prints"
)]

use std::io::{self, Read as _, Write as _};
use std::process::ExitCode;
use std::time::Instant;

use clap::{Parser, Subcommand};
use pushscale_tests::conformance::{ConformanceError, Recorder, compare};

/// Runs the controller of the real HorizontalPodAutoscaler in fake time and compares Pushscale's decisions with it.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Compare the decisions of both in random clusters; exit code 1 if they differ
    Compare {
        /// Seed of the random clusters
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// Number of random clusters
        #[arg(long, default_value_t = 10_000)]
        cases: u32,
    },
    /// Print one random cluster with the controller's decisions
    Cluster {
        /// Seed of the random clusters
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// The number in the case's name
        #[arg(long)]
        number: u32,
    },
    /// Record the cases on stdin again, ignoring the recorded decisions, and print them
    Record,
}

fn main() -> ExitCode {
    match run(Arguments::parse().action) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}

fn run(action: Action) -> Result<ExitCode, ConformanceError> {
    let recorder = Recorder::provision()?;
    match action {
        Action::Compare { seed, cases } => return compared(&recorder, seed, cases),
        Action::Cluster { seed, number } => write(&recorder.random_cluster(seed, number)?)?,
        Action::Record => {
            let mut scripts = String::new();
            io::stdin()
                .read_to_string(&mut scripts)
                .map_err(|source| ConformanceError::Io {
                    action: "read what to give to",
                    source,
                })?;
            write(&recorder.record(scripts)?)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn write(cases: &str) -> Result<(), ConformanceError> {
    io::stdout()
        .write_all(cases.as_bytes())
        .map_err(|source| ConformanceError::Io {
            action: "forward the output of",
            source,
        })
}

fn compared(recorder: &Recorder, seed: u64, cases: u32) -> Result<ExitCode, ConformanceError> {
    let start = Instant::now();
    let found = compare(recorder, seed, cases, |so_far| {
        eprintln!(
            "{} of {cases} cases, {} differ",
            so_far.cases,
            so_far.differences.len()
        );
    })?;
    let differences = found.differences.len();
    for difference in found.differences.iter().take(10) {
        println!("{difference}\n");
    }
    println!(
        "seed {seed}: {} cases, {} passes, {differences} differ ({:.0} s)",
        found.cases,
        found.passes,
        start.elapsed().as_secs_f64()
    );
    Ok(if differences == 0 {
        ExitCode::SUCCESS
    } else {
        println!("a whole case: pushscale-conformance cluster --seed {seed} --number N");
        ExitCode::FAILURE
    })
}
