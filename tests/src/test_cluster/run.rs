//! Runs programs and waits for them.

use std::process::{Command, Output, Stdio};

use super::error::ClusterError;

/// Runs a program and returns its stdout.
pub(crate) fn output(command: &mut Command) -> Result<String, ClusterError> {
    let program = describe(command);
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(ClusterError::io("run", &program))?;
    checked(program, output)
}

fn checked(command: String, output: Output) -> Result<String, ClusterError> {
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(ClusterError::Command {
        command,
        status: output.status.to_string(),
        stderr: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
    })
}

fn describe(command: &Command) -> String {
    let words = [command.get_program()]
        .into_iter()
        .chain(command.get_args());
    let words: Vec<_> = words.map(|word| word.to_string_lossy()).collect();
    words.join(" ")
}
