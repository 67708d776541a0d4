//! `pushscale`: try it, and later ask it.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line speaks by printing"
)]

mod demo;
mod simulate;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use pushscale_cli::{inject, replay};

/// Scales model servers by how long requests wait.
#[derive(Debug, Parser)]
#[command(name = "pushscale", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// The whole loop on this machine, without a cluster: servers, sidecars, an aggregator, a load that steps up
    /// and down; a report at the end
    Demo(demo::DemoOptions),
    /// Put the sidecar into manifests, as the injector does in the cluster; what else stands in them stays as it is
    Inject(inject::InjectOptions),
    /// Decide recorded cases again, and tell which come out otherwise
    Replay(replay::ReplayOptions),
    /// What a PushScaler would do under a load, on a simulated cluster, and what another autoscaler would:
    /// seconds of harm, pod-hours, waits; by file or by options
    Simulate(Box<simulate::SimulateOptions>),
}

fn main() -> ExitCode {
    match Arguments::parse().command {
        Command::Demo(options) => demo::run(&options),
        Command::Inject(options) => inject::run(&options),
        Command::Replay(options) => replay::run(&options),
        Command::Simulate(options) => simulate::run(&options),
    }
}
