//! Removes all parts of a cluster, even after a crash.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use pushscale_testkit::cache;

use super::error::ClusterError;
use super::report::progress;
use super::state::{RootLock, StateDir};
use super::{cgroups, mounts, network, processes};

/// Whether to keep the logs of a removed cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Logs {
    Keep,
    Drop,
}

/// The number of clusters whose logs are kept.
const KEPT: usize = 10;

/// Removes processes, containers, control groups, network namespace and directory of a cluster. The order is the same
/// in all cases, and no component has to help: the data of a cluster are worthless, and after a crash no component is
/// left. Called by the cluster's supervisor, or, if that is dead, by the holder of the root lock.
pub(crate) fn sweep(state: &StateDir, logs: Logs) -> Result<(), ClusterError> {
    // kubelet and containerd are killed first, so that nothing restarts the containers. The mounts are
    // released with their last processes.
    processes::kill_marked(state)?;
    cgroups::remove(state)?;
    network::remove(state)?;
    if logs == Logs::Keep {
        keep_logs(state)?;
    }
    mounts::unmount_below(state.path())?;
    remove_directory(state)
}

/// Removes all clusters whose supervisor is dead, and reports them. A failure does not affect the others.
pub(crate) fn sweep_stale(root: &RootLock) -> Result<(), ClusterError> {
    for state in StateDir::list()? {
        if !state.is_supervised(root)? {
            match sweep(&state, Logs::Keep) {
                Ok(()) => progress(&format!("removed what was left of {}", state.name())),
                Err(error) => progress(&error.to_string()),
            }
        }
    }
    Ok(())
}

/// Returns the directory with the logs of a removed cluster, if they were kept.
pub(crate) fn kept_logs(state: &StateDir) -> PathBuf {
    cache::directory()
        .join("test-cluster/logs")
        .join(state.name())
}

fn keep_logs(state: &StateDir) -> Result<(), ClusterError> {
    if !state.logs().is_dir() {
        return Ok(());
    }
    let target = kept_logs(state);
    if target.exists() {
        fs::remove_dir_all(&target).map_err(ClusterError::io("remove", &target))?;
    }
    copy(&state.logs(), &target).map_err(ClusterError::io("keep the logs in", &target))?;
    if let Some(directory) = target.parent() {
        prune(directory).map_err(ClusterError::io("prune", directory))?;
    }
    Ok(())
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        let kind = entry.file_type()?;
        if kind.is_dir() {
            copy(&entry.path(), &target)?;
        } else if kind.is_file() {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

fn prune(directory: &Path) -> io::Result<()> {
    let mut kept: Vec<(SystemTime, PathBuf)> = fs::read_dir(directory)?
        .filter_map(|entry| {
            let entry = entry.ok()?;
            Some((entry.metadata().ok()?.modified().ok()?, entry.path()))
        })
        .collect();
    kept.sort();
    for (_, oldest) in kept.iter().rev().skip(KEPT) {
        // Another cluster may be pruning, too.
        fs::remove_dir_all(oldest).ok();
    }
    Ok(())
}

fn remove_directory(state: &StateDir) -> Result<(), ClusterError> {
    match state.remove() {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(ClusterError::LeftOver {
            name: state.name().to_owned(),
            left: format!("{}: {error}", state.path().display()),
        }),
        _ => Ok(()),
    }
}
