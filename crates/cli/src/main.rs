//! The `pushscale` command. It parses, dispatches and prints errors; the commands are in the library.

#![expect(clippy::print_stderr, reason = "a command line prints")]

use std::path::Path;
use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use pushscale_cli::{
    CommandError, adopt, completions, demo, doctor, explain, inject, replay, simulate, status,
    trace,
};
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
    /// Print the PushScaler that corresponds to a HorizontalPodAutoscaler or a ScaledObject of KEDA, in mode Recommend,
    /// or change over to it and back
    Adopt(adopt::AdoptOptions),
    /// Print a completion script for a shell, or man pages
    Completions(completions::CompletionsOptions),
    /// Run servers, sidecars and an aggregator on this machine, without a cluster, under a load with a step, and print
    /// a report
    Demo(demo::DemoOptions),
    /// Check the installation and the PushScalers, and print what is wrong and what to do
    Doctor(doctor::DoctorOptions),
    /// Explain the replica count of a PushScaler: the steps of its last decision, and what would change it
    Explain(explain::ExplainOptions),
    /// Add the sidecar to manifests, like the injector does in a cluster; everything else is left unchanged
    Inject(inject::InjectOptions),
    /// Replay recorded decisions and report differences
    Replay(replay::ReplayOptions),
    /// Simulate a PushScaler under a load and compare its violation seconds, pod-hours and waits with those of other
    /// autoscalers
    Simulate(Box<simulate::SimulateOptions>),
    /// Print a table of the PushScalers, with their replicas, latencies and reasons
    Status(status::StatusOptions),
    /// Write traces of your own load for `simulate`
    Trace(trace::TraceOptions),
}

fn main() -> ExitCode {
    run().unwrap_or_else(|error| {
        eprintln!("error: {}", chain(&error));
        error.exit_code()
    })
}

fn run() -> Result<ExitCode, CommandError> {
    let matches = command().get_matches();
    let arguments = Arguments::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    match arguments.command {
        Command::Adopt(options) => runtime()?.block_on(adopt::run(&options)),
        Command::Completions(options) => completions::run(&options, command()),
        Command::Demo(options) => demo::run(&options),
        Command::Doctor(options) => runtime()?.block_on(doctor::run(&options)),
        Command::Explain(options) => runtime()?.block_on(explain::run(&options)),
        Command::Inject(options) => Ok(inject::run(&options)),
        Command::Replay(options) => replay::run(&options),
        Command::Simulate(options) => simulate::run(&options),
        Command::Status(options) => runtime()?.block_on(status::run(&options)),
        Command::Trace(options) => trace::run(&options),
    }
}

/// Returns the command, with the name under which kubectl runs it as a plugin.
fn command() -> clap::Command {
    let program = std::env::args_os().next();
    let name = program.as_deref().map(Path::new).and_then(Path::file_name);
    let command = Arguments::command();
    if name.is_some_and(|name| name == "kubectl-pushscale") {
        command.bin_name("kubectl pushscale")
    } else {
        command
    }
}

fn runtime() -> Result<tokio::runtime::Runtime, CommandError> {
    tokio::runtime::Runtime::new().map_err(CommandError::Runtime)
}
