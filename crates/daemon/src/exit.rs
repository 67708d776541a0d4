//! How a program ends: 0, 1 with the whole cause chain, 64 with every mistake.
#![expect(
    clippy::print_stderr,
    reason = "the last words of a program, when logging may not have begun"
)]

use std::error::Error;
use std::process::ExitCode;

use crate::config::Mistake;
use crate::error::chain;

/// EX_USAGE of sysexits.h: the configuration is wrong, and starting again will not help.
const USAGE: u8 = 64;

/// Tells every mistake on a line of its own.
pub fn usage(mistakes: &[Mistake]) -> ExitCode {
    for mistake in mistakes {
        eprintln!("configuration: {mistake}");
    }
    ExitCode::from(USAGE)
}

/// 0 if it went well; else 1, with the cause and the causes of the cause.
pub fn report(outcome: Result<(), impl Error>) -> ExitCode {
    let Err(error) = outcome else {
        return ExitCode::SUCCESS;
    };
    eprintln!("failed to {}", chain(&error));
    ExitCode::FAILURE
}
