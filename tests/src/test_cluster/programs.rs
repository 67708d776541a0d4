//! Where the cluster's programs are, and how they come there.

use std::env;
use std::path::{self, PathBuf};
use std::process::{Command, Stdio};

use serde::{Deserialize, Serialize};

use super::error::ClusterError;
use super::shape::Shape;

/// The folders of the cluster's programs.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Programs {
    /// The folders, the one to be preferred first.
    folders: Vec<PathBuf>,
}

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/test-cluster/provision");

/// Builds what the script knows under this name if it is missing, and tells its folder.
pub(crate) fn provision(what: &str) -> Result<PathBuf, ClusterError> {
    let output = Command::new(SCRIPT)
        .arg(what)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(ClusterError::io("run", SCRIPT))?;
    if !output.status.success() {
        let reason = format!("{SCRIPT} ended with {}", output.status);
        return Err(ClusterError::Provision { reason });
    }
    Ok(PathBuf::from(
        String::from_utf8_lossy(&output.stdout).trim(),
    ))
}

impl Programs {
    /// Builds and installs what is missing for the shape. That takes minutes on a new machine, and
    /// says so on stderr; milliseconds later on.
    pub(crate) fn provision(shape: Shape) -> Result<Self, ClusterError> {
        let built = provision(shape.as_str())?;
        let assets = env::var_os("KUBEBUILDER_ASSETS").map(PathBuf::from);
        let folders = assets.into_iter().chain([built]).map(|folder| {
            // The components run in another folder.
            path::absolute(&folder).map_err(ClusterError::io("find", &folder))
        });
        Ok(Self {
            folders: folders.collect::<Result<_, _>>()?,
        })
    }

    /// The full path of one of the programs.
    pub(crate) fn path(&self, program: &str) -> Result<PathBuf, ClusterError> {
        self.folders
            .iter()
            .map(|folder| folder.join(program))
            .find(|path| path.is_file())
            .ok_or_else(|| ClusterError::Provision {
                reason: format!("no {program} in {:?}", self.folders),
            })
    }

    /// A value for `PATH`: these folders, then those of the machine, with those for root.
    pub(crate) fn search_path(&self) -> String {
        let inherited = env::var("PATH").unwrap_or_default();
        let own = self
            .folders
            .iter()
            .map(|folder| folder.display().to_string());
        let machine = "/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin".to_owned();
        own.chain([inherited, machine])
            .collect::<Vec<_>>()
            .join(":")
    }
}
