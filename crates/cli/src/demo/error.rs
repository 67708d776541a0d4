//! Why a demo fails.

use std::io;

use pushscale_daemon::config::ConfigError;
use pushscale_testkit::emulated::EmulatedError;
use pushscale_testkit::load::LoadError;
use pushscale_testkit::local_torchserve::LocalTorchServeError;
use thiserror::Error;

/// Why a demo failed.
#[derive(Debug, Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each variant's message describes it")]
pub enum DemoError {
    #[error("failed to start the runtime")]
    Runtime(#[source] io::Error),
    #[error("failed to install signal handlers")]
    Signals(#[source] io::Error),
    #[error("failed to run the aggregator")]
    Aggregator(#[from] pushscale_daemon::exit::RunError),
    #[error("invalid settings of the demo: {0}")]
    Settings(String),
    #[error("the aggregator exited at once")]
    AggregatorExited,
    #[error(transparent)]
    LocalTorchServe(#[from] LocalTorchServeError),
    #[error(transparent)]
    Emulated(#[from] EmulatedError),
    #[error("failed to run a sidecar")]
    Sidecar(#[from] pushscale_sidecar::RunError),
    #[error("the first TorchServe was not ready in time")]
    NoServer,
    #[error("failed to start the load")]
    Load(#[source] LoadError),
    #[error("failed to write the report")]
    Report(#[source] io::Error),
    #[error("the fleet did not scale up and down again")]
    NotScaled,
    #[error("interrupted")]
    Interrupted,
}

impl DemoError {
    pub(crate) fn settings(errors: &[ConfigError]) -> Self {
        let text: Vec<String> = errors.iter().map(ToString::to_string).collect();
        Self::Settings(text.join("; "))
    }
}
