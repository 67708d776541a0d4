//! The command line of a program: `--config FILE`, `--print-config` and `--help`.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use super::{ConfigError, Program, Settings};
use crate::exit;

/// Reads the settings from the command line, the file and the environment, and converts them with `read`.
///
/// # Errors
/// The exit code if the program must exit: after printing its help, its settings or its config errors.
pub fn load<T>(
    program: &'static Program,
    read: impl FnOnce(Settings) -> Result<T, Vec<ConfigError>>,
) -> Result<T, ExitCode> {
    let mut file = None;
    let mut print = false;
    let mut arguments = std::env::args_os().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.to_str() {
            Some("-h" | "--help") => return Err(print_out(&program.help())),
            Some("--print-config") => print = true,
            Some("--config") => match arguments.next() {
                Some(path) => file = Some(PathBuf::from(path)),
                None => return Err(exit::usage("--config needs a file")),
            },
            _ => {
                let problem = format!("unknown argument {}; see --help", argument.display());
                return Err(exit::usage(&problem));
            }
        }
    }
    let config_errors = |errors: Vec<ConfigError>| exit::config_errors(&errors);
    let settings = Settings::load(program, file).map_err(config_errors)?;
    let effective = print.then(|| settings.effective());
    let config = read(settings);
    if let Some(effective) = effective {
        let printed = print_out(&effective);
        return Err(config.map_or_else(config_errors, |_| printed));
    }
    config.map_err(config_errors)
}

fn print_out(text: &str) -> ExitCode {
    match std::io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}
