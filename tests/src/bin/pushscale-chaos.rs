//! Runs every fault and prints what each one has cost. `make chaos` calls this program.
#![expect(clippy::print_stdout, reason = "a command line prints")]

use std::process::ExitCode;

use clap::Parser;
use pushscale_tests::chaos::{Harness, faults, short_faults, table};
use pushscale_tests::namespace::{install, permit_token_reviews};
use pushscale_tests::test_cluster::{ClusterError, Shape, TestCluster};

/// Runs two aggregators, injects the faults of a cluster, and prints a table; exit code 1 if a fault did harm.
#[derive(Parser)]
struct Arguments {
    /// Only the faults of the short form
    #[arg(long)]
    short: bool,
    /// Only the faults whose name contains one of these texts
    #[arg(long)]
    only: Vec<String>,
}

#[tokio::main]
async fn main() -> Result<ExitCode, ClusterError> {
    let arguments = Arguments::parse();
    pushscale_daemon::open_files::raise_limit();
    let cluster = TestCluster::start(Shape::ControlPlane)?;
    install(&cluster);
    permit_token_reviews(&cluster);
    let mut harness = Harness::start(&cluster).await;
    let faults = if arguments.short {
        short_faults()
    } else {
        faults()
    };
    let mut outcomes = Vec::new();
    for fault in faults {
        let mut only = arguments.only.iter();
        if arguments.only.is_empty() || only.any(|text| fault.name().contains(text)) {
            println!("{} …", fault.name());
            let outcome = harness.run_fault(fault).await;
            // What was measured is not lost if a later fault panics.
            println!("{}", table(std::slice::from_ref(&outcome)));
            outcomes.push(outcome);
        }
    }
    println!("\n{}", table(&outcomes));
    let clean = outcomes.iter().all(|outcome| outcome.is_clean());
    Ok(ExitCode::from(u8::from(!clean)))
}
