//! `pushscale doctor`: checks a cluster, and reports what is wrong and what to do.
//!
//! The reader gathers plain Kubernetes objects once ([`Snapshot`]); each check is a pure function of them. A new case
//! is a file in `crates/cli/testdata/doctor`.

mod checks;
mod finding;
mod read;
mod snapshot;

use std::process::ExitCode;

use clap::Args;

use crate::CommandError;
use crate::cluster::ClusterOptions;
use crate::output::{Colors, print};

pub use checks::diagnose;
pub use finding::{Finding, Problem, render};
pub use snapshot::{Snapshot, SnapshotError, Target};

/// The options of `pushscale doctor`.
#[derive(Debug, Args)]
pub struct DoctorOptions {
    /// Only this PushScaler
    #[arg(value_name = "NAME")]
    name: Option<String>,
    #[command(flatten)]
    cluster: ClusterOptions,
    /// All namespaces
    #[arg(short = 'A', long, conflicts_with = "name")]
    all_namespaces: bool,
    /// Print only what is wrong
    #[arg(short, long)]
    quiet: bool,
}

/// Returns the exit code: 1 if something is wrong. A check that could not be made is not a problem.
pub fn exit_code(findings: &[Finding]) -> u8 {
    u8::from(findings.iter().any(|finding| finding.problem.is_some()))
}

/// Prints all findings, and exits with their [`exit_code`].
///
/// # Errors
/// If the PushScalers cannot be read.
pub async fn run(options: &DoctorOptions) -> Result<ExitCode, CommandError> {
    let cluster = options.cluster.connect().await?;
    let snapshot = read::read(&cluster, options.all_namespaces, options.name.as_deref()).await?;
    let findings = diagnose(&snapshot);
    print(&render(&findings, options.quiet, Colors::detect().0))?;
    Ok(ExitCode::from(exit_code(&findings)))
}
