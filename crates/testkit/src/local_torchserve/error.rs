//! Why the real TorchServe cannot be used.

use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Why the local TorchServe cannot be installed, started or stopped.
#[derive(Debug, thiserror::Error)]
pub enum LocalTorchServeError {
    /// TorchServe's frontend runs on Java.
    #[error(
        "find java on PATH or below JAVA_HOME: install openjdk-17-jre-headless (or any Java \
         from 17 on), or use emulated servers"
    )]
    NoJava,
    /// It is there, but not the right one.
    #[error(
        "use the Java {version} at {path}: TorchServe wants 17 or later; install \
         openjdk-17-jre-headless, or use emulated servers"
    )]
    OldJava {
        /// Which one was found.
        path: PathBuf,
        /// What it says of itself.
        version: String,
    },
    /// TorchServe's workers run on Python.
    #[error("find python3 on PATH: install python3 and python3-venv, or use emulated servers")]
    NoPython,
    /// It is there, but cannot make a virtual environment.
    #[error(
        "use python3 ({version}): it must be 3.8 or later with the modules venv and ensurepip; \
         install python3-venv, or use emulated servers"
    )]
    UnfitPython {
        /// What it says of itself, or of what it misses.
        version: String,
    },
    /// A program failed or took too long.
    #[error("{what}: {reason}")]
    Command {
        /// What was to be done.
        what: String,
        /// The status and the end of the output.
        reason: String,
    },
    /// Another process installs and does not finish.
    #[error(
        "wait for another installation, which has held {lock} for {} s: end that process",
        waited.as_secs()
    )]
    Busy {
        /// The file that it has locked.
        lock: PathBuf,
        /// How long this one has waited.
        waited: Duration,
    },
    /// A file or folder of the cache.
    #[error("{what} {path}: {source}; give another cache folder, or free this one")]
    File {
        /// Such as "write".
        what: &'static str,
        /// Which one.
        path: PathBuf,
        /// The kernel's reason.
        source: io::Error,
    },
    /// No free port.
    #[error("take a free port on {bind}: {source}")]
    Port {
        /// The address asked for.
        bind: IpAddr,
        /// The kernel's reason.
        source: io::Error,
    },
    /// TorchServe ended, or is not READY in time.
    #[error("start TorchServe: {reason}")]
    NotReady {
        /// What it said last.
        reason: String,
    },
    /// TorchServe is still there after SIGTERM and SIGKILL.
    #[error("stop TorchServe, process {pid}: {reason}")]
    NotStopped {
        /// Of `start.py`.
        pid: u32,
        /// What went wrong.
        reason: String,
    },
}
