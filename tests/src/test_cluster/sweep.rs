//! Removes all that a cluster made, whether it ended in order or not.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use pushscale_testkit::cache;

use super::error::ClusterError;
use super::report::say;
use super::state::{RootLock, StateDir};
use super::{cgroups, mounts, network, processes};

/// Whether the logs of a removed cluster may be of use to somebody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Logs {
    Keep,
    Drop,
}

/// How many kept logs stay.
const KEPT: usize = 10;

/// Removes processes, containers, control groups, network namespace and folder of a cluster. There is
/// one order for all cases, and it does not ask any component to help: a cluster's data are worth
/// nothing, and after a crash nobody is there to ask. For the cluster's supervisor, or, if that is
/// dead, for the holder of the root lock.
pub(crate) fn sweep(state: &StateDir, logs: Logs) -> Result<(), ClusterError> {
    // kubelet and containerd go first, so that nobody restarts the containers that go next. With
    // the last of both, the mounts go.
    processes::kill_marked(state)?;
    cgroups::remove(state)?;
    network::remove(state)?;
    if logs == Logs::Keep {
        keep_logs(state)?;
    }
    mounts::unmount_below(state.path())?;
    remove_folder(state)
}

/// Removes all clusters whose supervisor is dead, and says so. One that resists does not hinder others.
pub(crate) fn sweep_stale(root: &RootLock) -> Result<(), ClusterError> {
    for state in StateDir::list()? {
        if !state.is_supervised(root)? {
            match sweep(&state, Logs::Keep) {
                Ok(()) => say(&format!("removed what was left of {}", state.name())),
                Err(error) => say(&error.to_string()),
            }
        }
    }
    Ok(())
}

/// Where the logs of a cluster are after its end, if they were kept.
pub(crate) fn kept_logs(state: &StateDir) -> PathBuf {
    cache::folder().join("rig/logs").join(state.name())
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
    if let Some(folder) = target.parent() {
        prune(folder).map_err(ClusterError::io("prune", folder))?;
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

fn prune(folder: &Path) -> io::Result<()> {
    let mut kept: Vec<(SystemTime, PathBuf)> = fs::read_dir(folder)?
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

fn remove_folder(state: &StateDir) -> Result<(), ClusterError> {
    match state.remove() {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(ClusterError::LeftOver {
            name: state.name().to_owned(),
            left: format!("{}: {error}", state.path().display()),
        }),
        _ => Ok(()),
    }
}
