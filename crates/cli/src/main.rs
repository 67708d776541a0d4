//! The `pushscale` command. It parses, dispatches and prints errors; the commands are in the library.

#![expect(clippy::print_stderr, reason = "a command line prints")]

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use pushscale_cli::{demo, inject, replay, simulate};
use pushscale_daemon::error::chain;

/// Scales model servers by the time that requests wait in their queues.
#[derive(Debug, Parser)]
#[command(name = "pushscale", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run servers, sidecars and an aggregator on this machine, without a cluster, under a load with a step, and print
    /// a report
    Demo(demo::DemoOptions),
    /// Add the sidecar to manifests, like the injector does in a cluster; everything else is left unchanged
    Inject(inject::InjectOptions),
    /// Replay recorded decisions and report differences
    Replay(replay::ReplayOptions),
    /// Simulate a PushScaler under a load and compare its violation seconds, pod-hours and waits with those of other
    /// autoscalers
    Simulate(Box<simulate::SimulateOptions>),
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().command {
        Command::Demo(options) => demo::run(&options),
        Command::Inject(options) => Ok(inject::run(&options)),
        Command::Replay(options) => replay::run(&options),
        Command::Simulate(options) => simulate::run(&options),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("error: {}", chain(&error));
        error.exit_code()
    })
}
