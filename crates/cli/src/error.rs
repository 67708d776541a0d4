//! The error of a command.

use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use jiff::Timestamp;
use pushscale_simulator::InputError;

use crate::adopt::{AdoptError, SwitchError};
use crate::cluster::ClusterError;
use crate::demo::DemoError;
use crate::doctor::SnapshotError;
use crate::replay::CaseError;

/// Why a command failed. `main` prints it with its causes.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// The demo failed.
    #[error(transparent)]
    Demo(#[from] DemoError),
    /// A file could not be read.
    #[error("failed to read {}", .file.display())]
    Read {
        /// The file, or `-`.
        file: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// A file could not be written.
    #[error("failed to write {}", .file.display())]
    Write {
        /// The file.
        file: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// The asynchronous runtime could not be started.
    #[error("failed to start the runtime")]
    Runtime(#[source] io::Error),
    /// A chart could not be drawn, or JSON not be serialized.
    #[error("failed to produce the output")]
    Output(#[from] io::Error),
    /// The cluster could not be read.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// An object of the cluster could not be parsed.
    #[error("an object of the API server could not be parsed")]
    Object(#[from] SnapshotError),
    /// Another autoscaler could not be converted.
    #[error(transparent)]
    Adopt(#[from] AdoptError),
    /// The change-over to a PushScaler, or back, stopped.
    #[error(transparent)]
    Switch(#[from] SwitchError),
    /// A measured load cannot be imported.
    #[error(transparent)]
    Import(#[from] InputError),
    /// There is no decision at that time.
    #[error(
        "no decision of PushScaler {subject} is known at {at}: {problem}, and status.history begins later; name a later time"
    )]
    NothingRecorded {
        /// The PushScaler.
        subject: String,
        /// The time.
        at: Timestamp,
        /// Why there is no recording.
        problem: String,
    },
    /// A file of recorded cases is invalid.
    #[error("{}", .file.display())]
    Case {
        /// The file, or `-`.
        file: PathBuf,
        /// The error in one of its lines.
        source: CaseError,
    },
}

impl CommandError {
    /// Returns 1 for a failed demo, and 2 for a file or a cluster that cannot be used.
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(if matches!(self, Self::Demo(_)) { 1 } else { 2 })
    }

    pub(crate) fn output(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Output(io::Error::other(error))
    }

    pub(crate) fn read(file: &Path) -> impl FnOnce(io::Error) -> Self {
        let file = file.to_owned();
        |source| Self::Read { file, source }
    }

    pub(crate) fn write(file: &Path) -> impl FnOnce(io::Error) -> Self {
        let file = file.to_owned();
        |source| Self::Write { file, source }
    }
}
