//! Runs programs and waits for them.

use std::io::Write;
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

/// Runs a program with this text on stdin, and returns its stdout.
pub(crate) fn output_with(command: &mut Command, input: &str) -> Result<String, ClusterError> {
    let program = describe(command);
    let mut run = || {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            // A program that fails early does not read all of it. Its own error is more useful.
            stdin.write_all(input.as_bytes()).ok();
        }
        child.wait_with_output()
    };
    let output = run().map_err(ClusterError::io("run", &program))?;
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
