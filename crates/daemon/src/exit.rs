//! Exit codes: 0, 1 with the error and its causes, 64 with every configuration error.
#![expect(
    clippy::print_stderr,
    reason = "errors of a program that may not have started logging"
)]

use std::error::Error;
use std::io;
use std::num::NonZero;
use std::process::ExitCode;
use std::thread::available_parallelism;

use thiserror::Error;
use tokio::runtime::{Builder, Runtime};

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
#[expect(missing_docs, reason = "each variant's message describes it")]
pub enum RunError {
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The runtime could not be started, or signal handlers not be installed.
    #[error("failed to install signal handlers")]
    Signals(#[from] io::Error),
    #[error("failed to find the API server: run in a pod, or set KUBECONFIG")]
    Cluster(#[source] Box<dyn Error + Send + Sync>),
    #[error("failed to set up TLS")]
    Tls(#[source] TlsError),
    #[error(transparent)]
    TaskExited(#[from] TaskExited),
}

/// Maximum number of worker threads: a node may have 96 cores, each thread keeps memory of its own, and the memory
/// limit of a pod does not grow with them.
const MAX_THREADS: usize = 4;

/// Creates the runtime of a program in the cluster.
///
/// # Errors
/// If a thread or the IO driver cannot be created.
pub fn runtime() -> io::Result<Runtime> {
    Builder::new_multi_thread()
        .worker_threads(threads(available_parallelism().map_or(1, NonZero::get)))
        .enable_all()
        .build()
}

fn threads(cores: usize) -> usize {
    cores.min(MAX_THREADS)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_has_few_threads_on_a_large_node() {
        assert_eq!([1, 2, 4, 96].map(threads), [1, 2, 4, 4]);
        let workers = runtime().unwrap().metrics().num_workers();
        assert_eq!(workers, threads(available_parallelism().unwrap().get()));
    }
}
