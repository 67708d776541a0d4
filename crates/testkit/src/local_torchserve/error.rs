//! Errors of the local TorchServe.

use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Why the local TorchServe cannot be installed, started or stopped.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each variant's message describes it")]
pub enum LocalTorchServeError {
    #[error(
        "no java on PATH or in JAVA_HOME: install openjdk-17-jre-headless (or any Java 17 or later), \
         or use emulated servers"
    )]
    NoJava,
    #[error(
        "Java {version} at {path} is too old: TorchServe requires 17 or later; install \
         openjdk-17-jre-headless, or use emulated servers"
    )]
    OldJava { path: PathBuf, version: String },
    #[error("no python3 on PATH: install python3 and python3-venv, or use emulated servers")]
    NoPython,
    /// Python is too old or cannot create a virtual environment.
    #[error(
        "python3 is unsuitable ({version}): version 3.8 or later with the modules venv and ensurepip \
         is required; install python3-venv, or use emulated servers"
    )]
    UnfitPython {
        /// The version that it reports, or what is missing.
        version: String,
    },
    /// A program failed or took too long.
    #[error("{what}: {reason}")]
    Command {
        what: String,
        /// The status and the end of the output.
        reason: String,
    },
    /// Another process is installing TorchServe and does not finish.
    #[error(
        "another installation has held {lock} for {} s: end that process",
        waited.as_secs()
    )]
    Busy {
        lock: PathBuf,
        /// How long this process has waited.
        waited: Duration,
    },
    #[error("failed to {what} {path}")]
    File {
        /// The verb, such as "write".
        what: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    #[error("no free port on {bind}")]
    Port { bind: IpAddr, source: io::Error },
    #[error("failed to start TorchServe: {reason}")]
    NotReady {
        /// The end of its output.
        reason: String,
    },
    #[error("failed to stop TorchServe (process {pid}): {reason}")]
    NotStopped { pid: u32, reason: String },
}
