//! Runs a program to its end, with a deadline.

use std::io;
use std::process::{Output, Stdio};
use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout;

use super::LocalTorchServeError;

/// Its output, whatever its status; `None` when there is no such program.
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

/// Fails unless the program succeeds.
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

/// The last lines of both streams, errors last.
fn tail(output: &Output) -> String {
    let text = [output.stdout.as_slice(), &output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(15)..].join("\n")
}
