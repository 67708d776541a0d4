//! The real TorchServe as local processes, without torch: a download of 43 MB, and ready in seconds.
//!
//! The Python files of `local-torchserve/` are embedded in this library. [`LocalTorchServe::install`] writes them next
//! to a virtual environment, and [`LocalTorchServe::start`] runs them.

mod command;
mod error;
mod files;
mod install;
mod options;
mod programs;
mod server;

use std::path::{Path, PathBuf};

pub use error::LocalTorchServeError;
pub use options::ServerOptions;
pub use programs::Programs;
pub use server::RunningServer;

/// An installed TorchServe.
#[derive(Debug, Clone)]
pub struct LocalTorchServe {
    directory: PathBuf,
    java: PathBuf,
}

impl LocalTorchServe {
    /// Checks whether the programs exist that [`LocalTorchServe::install`] and [`LocalTorchServe::start`] need.
    /// Downloads nothing.
    ///
    /// # Errors
    /// A program is missing or too old. The error explains what to install.
    pub async fn check() -> Result<Programs, LocalTorchServeError> {
        Programs::find().await
    }

    /// Installs TorchServe below `cache`, unless it is already there. The first installation takes about ten seconds
    /// and needs the network. Several processes may call this at the same time: one of them installs, and the others
    /// wait. `progress` is called with a short message for each slow step.
    ///
    /// # Errors
    /// [`LocalTorchServe::check`] failed, or a step failed. The error then contains the end of its output.
    pub async fn install(
        cache: &Path,
        progress: impl FnMut(&str) + Send,
    ) -> Result<Self, LocalTorchServeError> {
        let programs = Programs::find().await?;
        let directory = install::install(cache, &programs, progress).await?;
        Ok(Self {
            directory,
            java: programs.java,
        })
    }

    /// Starts a server on free ports and waits until its models are READY.
    ///
    /// # Errors
    /// The server exited or is not READY in time. The error contains the end of its log.
    pub async fn start(
        &self,
        options: ServerOptions,
    ) -> Result<RunningServer, LocalTorchServeError> {
        let mut server = self.launch(options)?;
        server.ready().await?;
        Ok(server)
    }

    /// Starts a server on free ports and returns at once, like a pod that exists before it is ready: its addresses are
    /// known, and it refuses connections for one or two seconds.
    ///
    /// # Errors
    /// No port is free, or the process cannot be started.
    pub fn launch(&self, options: ServerOptions) -> Result<RunningServer, LocalTorchServeError> {
        RunningServer::launch(self, &options)
    }

    /// Returns the virtual environment. It contains links to the Python that created it.
    pub fn venv(&self) -> PathBuf {
        self.directory.join(install::VENV)
    }

    /// Returns the Python in which torchserve is installed.
    pub fn python(&self) -> PathBuf {
        self.venv().join("bin/python")
    }

    /// Returns `start.py`, next to the files that it needs.
    pub fn script(&self) -> PathBuf {
        self.directory.join(files::DIRECTORY).join(files::SCRIPT)
    }

    /// Returns the Java that runs TorchServe.
    pub fn java(&self) -> &Path {
        &self.java
    }
}
