//! Why there is no comparison.

use std::io;

use pushscale_cli::replay::CaseError;
use thiserror::Error;

use crate::test_cluster::ClusterError;

/// Why there is no comparison. A difference is not among these.
#[derive(Debug, Error)]
pub enum ConformanceError {
    /// The recorder was not built.
    #[error(transparent)]
    Provision(#[from] ClusterError),
    /// The recorder did not start, or its pipe broke.
    #[error("cannot {action} the recorder: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// What the system says.
        source: io::Error,
    },
    /// The recorder gave up: a script that the controller does not follow, or a fault in a random world.
    #[error("the recorder failed:\n{said}")]
    Recorder {
        /// Its last words.
        said: String,
    },
    /// The recorder wrote something that is no case.
    #[error("the recorder's output: {0}")]
    Case(#[from] CaseError),
}

impl ConformanceError {
    pub(super) fn io(action: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { action, source }
    }
}
