//! Exit codes: 0, 1 with the error and its causes, 64 with every configuration error.
#![expect(
    clippy::print_stderr,
    reason = "errors of a program that may not have started logging"
)]

use std::error::Error;
use std::io;
use std::process::ExitCode;

use thiserror::Error;
use tokio::runtime::Runtime;

use crate::config::ConfigError;
use crate::error::chain;
use crate::http_server::BindError;
use crate::shutdown::{self, Shutdown};
use crate::tasks::TaskExited;
use crate::tls::TlsError;

/// EX_USAGE of sysexits.h: the configuration or the command line is invalid, and a restart does not help.
const USAGE: u8 = 64;

/// Why a program in the cluster exited.
#[derive(Debug, Error)]
pub enum RunError {
    /// A port could not be bound.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The runtime could not be started, or signal handlers not be installed.
    #[error("failed to install signal handlers")]
    Signals(#[from] io::Error),
    /// No cluster is configured.
    #[error("failed to find the API server: run in a pod, or set KUBECONFIG")]
    Cluster(#[source] Box<dyn Error + Send + Sync>),
    /// TLS could not be set up.
    #[error("failed to set up TLS")]
    Tls(#[source] TlsError),
    /// A task exited that should have kept running.
    #[error(transparent)]
    TaskExited(#[from] TaskExited),
}

/// Prints an error in the command line and returns exit code 64.
pub fn usage(problem: &str) -> ExitCode {
    eprintln!("error: {problem}");
    ExitCode::from(USAGE)
}

/// Prints each configuration error on a line and returns exit code 64.
pub fn config_errors(errors: &[ConfigError]) -> ExitCode {
    for error in errors {
        eprintln!("configuration: {error}");
    }
    ExitCode::from(USAGE)
}

/// Returns exit code 0, or prints the error with its causes and returns 1.
pub fn report(outcome: Result<(), impl Error>) -> ExitCode {
    let Err(error) = outcome else {
        return ExitCode::SUCCESS;
    };
    eprintln!("error: {}", chain(&error));
    ExitCode::FAILURE
}

/// Runs a program on this runtime until it ends; it gets the shutdown that signals begin. Returns as [`report`].
pub fn run<E, F>(runtime: io::Result<Runtime>, program: impl FnOnce(Shutdown) -> F) -> ExitCode
where
    E: Error + From<io::Error>,
    F: Future<Output = Result<(), E>>,
{
    report(runtime.map_err(E::from).and_then(|runtime| {
        let outcome = runtime.block_on(async {
            let signals = shutdown::on_signals()?;
            program(signals).await
        });
        // Without waiting for a DNS lookup, which blocks a thread for seconds while DNS is out.
        runtime.shutdown_background();
        outcome
    }))
}
