//! Errors of the local TorchServe.

use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Why the local TorchServe cannot be installed, started or stopped.
#[derive(Debug, thiserror::Error)]
pub enum LocalTorchServeError {
    /// TorchServe's frontend runs on Java.
    #[error(
        "no java on PATH or in JAVA_HOME: install openjdk-17-jre-headless (or any Java 17 or later), \
         or use emulated servers"
    )]
    NoJava,
    /// Java is older than 17.
    #[error(
        "Java {version} at {path} is too old: TorchServe requires 17 or later; install \
         openjdk-17-jre-headless, or use emulated servers"
    )]
    OldJava {
        /// The path of the program.
        path: PathBuf,
        /// The version that it reports.
        version: String,
    },
    /// TorchServe's workers run on Python.
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
        /// The failed step.
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
        /// The lock file.
        lock: PathBuf,
        /// How long this process has waited.
        waited: Duration,
    },
    /// A file or directory of the cache could not be used.
    #[error("failed to {what} {path}")]
    File {
        /// The verb, such as "write".
        what: &'static str,
        /// The path.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// No port is free.
    #[error("no free port on {bind}")]
    Port {
        /// The requested address.
        bind: IpAddr,
        /// The error of the operating system.
        source: io::Error,
    },
    /// TorchServe exited, or was not ready in time.
    #[error("failed to start TorchServe: {reason}")]
    NotReady {
        /// The end of its output.
        reason: String,
    },
    /// TorchServe is still running after SIGTERM and SIGKILL.
    #[error("failed to stop TorchServe (process {pid}): {reason}")]
    NotStopped {
        /// The process id of `start.py`.
        pid: u32,
        /// What went wrong.
        reason: String,
    },
}
