//! Exit codes: 0, 1 with the error and its causes, 64 with every configuration error.
#![expect(
    clippy::print_stderr,
    reason = "errors of a program that may not have started logging"
)]

use std::error::Error;
use std::process::ExitCode;

use crate::config::ConfigError;
use crate::error::chain;

/// EX_USAGE of sysexits.h: the configuration or the command line is invalid, and a restart does not help.
const USAGE: u8 = 64;

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
