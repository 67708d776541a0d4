//! `pushscale completions`: completion scripts and man pages.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Command};
use clap_complete::Shell;

use crate::CommandError;

/// The options of `pushscale completions`.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct CompletionsOptions {
    /// The shell, whose script is printed
    shell: Option<Shell>,
    /// Write one man page per command into this directory instead
    #[arg(long, value_name = "DIRECTORY")]
    man: Option<PathBuf>,
}

/// Prints the script of a shell, or writes the man pages of `command`.
///
/// # Errors
/// If they cannot be written.
pub fn run(options: &CompletionsOptions, mut command: Command) -> Result<ExitCode, CommandError> {
    if let Some(directory) = &options.man {
        std::fs::create_dir_all(directory).map_err(CommandError::write(directory))?;
        clap_mangen::generate_to(command.clone(), directory)
            .map_err(CommandError::write(directory))?;
    }
    if let Some(shell) = options.shell {
        let name = command.get_name().to_owned();
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut command, name, &mut script);
        let script = String::from_utf8(script).map_err(CommandError::output)?;
        crate::output::print(&script)?;
    }
    Ok(ExitCode::SUCCESS)
}
