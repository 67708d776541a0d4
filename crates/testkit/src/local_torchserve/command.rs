//! Runs a program with a deadline.

use std::io;
use std::process::{Output, Stdio};
use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout;

use super::LocalTorchServeError;

/// Returns the output, with any exit status; `None` if the program does not exist.
pub(super) async fn output(
    command: &mut Command,
    what: &str,
    limit: Duration,
) -> Result<Option<Output>, LocalTorchServeError> {
    let failed = |reason: String| LocalTorchServeError::Command {
        what: what.to_owned(),
        reason,
    };
    let run = command.stdin(Stdio::null()).kill_on_drop(true).output();
    match timeout(limit, run).await {
        Ok(Ok(output)) => Ok(Some(output)),
        Ok(Err(error)) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Ok(Err(error)) => Err(failed(error.to_string())),
        Err(_) => Err(failed(format!("not done after {} s", limit.as_secs()))),
    }
}

/// Runs a program. Returns an error unless it succeeds.
pub(super) async fn succeed(
    command: &mut Command,
    what: &str,
    limit: Duration,
) -> Result<(), LocalTorchServeError> {
    let reason = match output(command, what, limit).await? {
        Some(output) if output.status.success() => return Ok(()),
        Some(output) => format!("{}; its output ends:\n{}", output.status, tail(&output)),
        None => "no such program".to_owned(),
    };
    Err(LocalTorchServeError::Command {
        what: what.to_owned(),
        reason,
    })
}

/// Returns the last lines of both streams, stderr last.
fn tail(output: &Output) -> String {
    let text = [output.stdout.as_slice(), &output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(15)..].join("\n")
}
