//! Why a demo did not come to its end.

use std::io;

use pushscale_daemon::config::Mistake;
use pushscale_testkit::emulated::EmulatedError;
use pushscale_testkit::load::LoadError;
use pushscale_testkit::local_torchserve::LocalTorchServeError;
use thiserror::Error;

/// Why a demo did not come to its end. Each is a fragment that fits after "failed to".
#[derive(Debug, Error)]
pub(crate) enum DemoError {
    #[error("handle signals: {0}")]
    Signals(#[source] io::Error),
    #[error("{0}")]
    Aggregator(#[from] pushscale_aggregator::RunError),
    #[error("configure the demo: {0}")]
    Settings(String),
    #[error("start the aggregator: it ended at once")]
    AggregatorEnded,
    #[error("{0}")]
    LocalTorchServe(#[from] LocalTorchServeError),
    #[error("{0}")]
    Emulated(#[from] EmulatedError),
    #[error("start a sidecar: {0}")]
    Sidecar(#[from] pushscale_sidecar::RunError),
    #[error("start the first server: it was not ready in time")]
    NoServer,
    #[error("start the load: {0}")]
    Load(#[source] LoadError),
    #[error("write the report: {0}")]
    Report(#[source] io::Error),
    #[error("finish: interrupted")]
    Interrupted,
}

impl DemoError {
    pub(crate) fn settings(mistakes: &[Mistake]) -> Self {
        let text: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
        Self::Settings(text.join("; "))
    }
}
