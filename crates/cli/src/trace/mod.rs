//! `pushscale trace`: traces for `pushscale simulate`.

mod import;

use std::process::ExitCode;

use clap::{Args, Subcommand};

use crate::CommandError;
pub use import::ImportOptions;
pub(crate) use import::{Format, ImportSettings, Importer};

/// The options of `pushscale trace`.
#[derive(Debug, Args)]
pub struct TraceOptions {
    #[command(subcommand)]
    command: TraceCommand,
}

#[derive(Debug, Subcommand)]
enum TraceCommand {
    /// Write a trace from measurements of a load: access logs, CSV or the result of a Prometheus range query
    Import(ImportOptions),
}

/// Runs the subcommand.
///
/// # Errors
/// If a file cannot be read or written, or is invalid.
pub fn run(options: &TraceOptions) -> Result<ExitCode, CommandError> {
    match &options.command {
        TraceCommand::Import(options) => import::run(options),
    }
}
