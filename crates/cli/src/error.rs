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
#[expect(missing_docs, reason = "each variant's message describes it")]
pub enum CommandError {
    #[error(transparent)]
    Demo(#[from] DemoError),
    #[error("failed to read {}", .file.display())]
    Read {
        /// The file, or `-`.
        file: PathBuf,
        source: io::Error,
    },
    #[error("failed to write {}", .file.display())]
    Write { file: PathBuf, source: io::Error },
    #[error("failed to start the runtime")]
    Runtime(#[source] io::Error),
    /// A chart could not be drawn, or JSON not be serialized.
    #[error("failed to produce the output")]
    Output(#[from] io::Error),
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    #[error("an object of the API server could not be parsed")]
    Object(#[from] SnapshotError),
    #[error(transparent)]
    Adopt(#[from] AdoptError),
    #[error(transparent)]
    Switch(#[from] SwitchError),
    #[error(transparent)]
    Import(#[from] InputError),
    #[error(
        "no decision of PushScaler {subject} is known at {at}: {problem}, and status.history begins later; name a later time"
    )]
    NothingRecorded {
        subject: String,
        at: Timestamp,
        /// Why there is no recording.
        problem: String,
    },
    #[error("{}", .file.display())]
    Case {
        /// The file, or `-`.
        file: PathBuf,
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
