//! The real TorchServe as local processes, without torch: 43 MB to download, ready in seconds.
//!
//! The Python files of `local-torchserve/` are embedded into this library: [`LocalTorchServe::install`] writes them
//! next to a virtual environment, [`LocalTorchServe::start`] runs them.

mod command;
mod error;
mod files;
mod install;
mod options;
mod programs;
mod server;

use std::path::{Path, PathBuf};

pub use error::LocalTorchServeError;
pub use install::PACKAGES;
pub use options::ServerOptions;
pub use programs::Programs;
pub use server::RunningServer;

/// An installed TorchServe.
#[derive(Debug, Clone)]
pub struct LocalTorchServe {
    folder: PathBuf,
    java: PathBuf,
}

impl LocalTorchServe {
    /// Tells whether the programs are there that [`LocalTorchServe::install`] and [`LocalTorchServe::start`] need.
    /// Nothing is downloaded.
    ///
    /// # Errors
    /// Which program is missing or too old, and what to install.
    pub async fn check() -> Result<Programs, LocalTorchServeError> {
        Programs::find().await
    }

    /// Installs TorchServe below `cache`, or finds it there from before; the first time takes
    /// about ten seconds and the network. Several processes may do so at once: one works, the
    /// others wait. `progress` is told what takes time, in a few words.
    ///
    /// # Errors
    /// What [`LocalTorchServe::check`] says, or the step that failed with the end of its output.
    pub async fn install(
        cache: &Path,
        progress: impl FnMut(&str) + Send,
    ) -> Result<Self, LocalTorchServeError> {
        let programs = Programs::find().await?;
        let folder = install::install(cache, &programs, progress).await?;
        Ok(Self {
            folder,
            java: programs.java,
        })
    }

    /// Starts a server on free ports and waits until its models are READY.
    ///
    /// # Errors
    /// When it ends by itself or is not READY in time; with the end of its log.
    pub async fn start(
        &self,
        options: ServerOptions,
    ) -> Result<RunningServer, LocalTorchServeError> {
        let mut server = self.launch(options)?;
        server.ready().await?;
        Ok(server)
    }

    /// Starts a server on free ports and returns at once, as a pod is there before it is ready:
    /// its addresses are known, connections are refused for one or two seconds.
    ///
    /// # Errors
    /// When no port or process can be had.
    pub fn launch(&self, options: ServerOptions) -> Result<RunningServer, LocalTorchServeError> {
        RunningServer::launch(self, &options)
    }

    /// The virtual environment; it holds links to the Python that made it.
    pub fn venv(&self) -> PathBuf {
        self.folder.join(install::VENV)
    }

    /// The Python that has torchserve.
    pub fn python(&self) -> PathBuf {
        self.venv().join("bin/python")
    }

    /// `start.py`, beside the files that it needs.
    pub fn script(&self) -> PathBuf {
        self.folder.join(files::FOLDER).join(files::SCRIPT)
    }

    /// The Java that runs it.
    pub fn java(&self) -> &Path {
        &self.java
    }
}
