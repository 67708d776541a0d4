//! Errors of the comparison.

use std::io;

use pushscale_cli::replay::CaseError;
use thiserror::Error;

use crate::test_cluster::ClusterError;

/// A failure of the comparison. A difference is not a failure.
#[derive(Debug, Error)]
pub enum ConformanceError {
    /// The recorder could not be built.
    #[error(transparent)]
    Provision(#[from] ClusterError),
    /// The recorder did not start, or its pipe broke.
    #[error("cannot {action} the recorder: {source}")]
    Io {
        /// The failed action: a verb phrase.
        action: &'static str,
        /// The error of the operating system.
        source: io::Error,
    },
    /// The recorder failed: the controller does not follow the script, or a random cluster is invalid.
    #[error("the recorder failed:\n{stderr}")]
    Recorder {
        /// The end of its stderr.
        stderr: String,
    },
    /// The recorder wrote something that is not a case.
    #[error("the recorder's output: {0}")]
    Case(#[from] CaseError),
}

impl ConformanceError {
    pub(super) fn io(action: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { action, source }
    }
}
