//! Finds and builds the programs of a cluster.

use std::env;
use std::path::{self, PathBuf};
use std::process::{Command, Stdio};

use serde::{Deserialize, Serialize};

use super::error::ClusterError;
use super::shape::{Shape, skip_unless_ci};

/// The directories of the programs.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Programs {
    /// The directories in order of preference.
    directories: Vec<PathBuf>,
}

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/test-cluster/provision");

/// Builds the missing programs of this shape of the script, and returns their directory.
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

/// Does the same for a test. Returns `None`, with a message, if the programs are missing and Go is not installed,
/// except under `CI=true`.
///
/// # Panics
/// The build fails, or Go is missing under `CI=true`.
#[expect(clippy::panic, reason = "a test fails by panicking")]
pub(crate) fn provision_for_test(what: &str) -> Option<PathBuf> {
    let error = match provision(what) {
        Ok(programs) => return Some(programs),
        Err(error) => error,
    };
    let no_go = Command::new("go").arg("version").output().is_err();
    if no_go && skip_unless_ci(&format!("there is no Go to build {what} with")) {
        return None;
    }
    panic!("{error}")
}

impl Programs {
    /// Builds and installs missing programs of the shape. This takes minutes on a new machine, with progress on stderr,
    /// and milliseconds later.
    pub(crate) fn provision(shape: Shape) -> Result<Self, ClusterError> {
        let built = provision(shape.as_str())?;
        let assets = env::var_os("KUBEBUILDER_ASSETS").map(PathBuf::from);
        let directories = assets.into_iter().chain([built]).map(|directory| {
            // The components run in another directory.
            path::absolute(&directory).map_err(ClusterError::io("find", &directory))
        });
        Ok(Self {
            directories: directories.collect::<Result<_, _>>()?,
        })
    }

    /// Returns the full path of a program.
    pub(crate) fn path(&self, program: &str) -> Result<PathBuf, ClusterError> {
        self.directories
            .iter()
            .map(|directory| directory.join(program))
            .find(|path| path.is_file())
            .ok_or_else(|| ClusterError::Provision {
                reason: format!("no {program} in {:?}", self.directories),
            })
    }

    /// Returns a value for `PATH`: these directories, then those of the machine, including root's.
    pub(crate) fn search_path(&self) -> String {
        let inherited = env::var("PATH").unwrap_or_default();
        let own = self
            .directories
            .iter()
            .map(|directory| directory.display().to_string());
        let machine = "/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin".to_owned();
        own.chain([inherited, machine])
            .collect::<Vec<_>>()
            .join(":")
    }
}
