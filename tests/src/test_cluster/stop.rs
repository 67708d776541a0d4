//! Stops a cluster from outside of its supervisor.

use std::fs::{File, TryLockError};
use std::time::{Duration, Instant};

use super::control::{self, Request};
use super::error::ClusterError;
use super::state::{RootLock, StateDir};
use super::sweep::{Logs, sweep};

/// Stops a cluster, and returns when everything is removed.
pub(crate) fn stop(state: &StateDir, keep_logs: bool) -> Result<(), ClusterError> {
    // The supervisor removes the file near its end, but holds the lock on it until it exits.
    let lock = File::open(state.lock_file()).ok();
    match control::ask(state, &Request::Stop { keep_logs }) {
        // If it does not listen any more, it is exiting or dead.
        Ok(()) | Err(ClusterError::NotRunning { .. }) => {}
        Err(error) => return Err(error),
    }
    wait_until_removed(state)?;
    let deadline = Instant::now() + Duration::from_secs(10);
    while let Some(lock) = &lock
        && let Err(TryLockError::WouldBlock) = lock.try_lock()
    {
        if Instant::now() > deadline {
            return Err(supervisor_stays(state));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

/// Waits until a stopping cluster is removed. Removes it if its supervisor has died.
pub(crate) fn wait_until_removed(state: &StateDir) -> Result<(), ClusterError> {
    let deadline = Instant::now() + Duration::from_secs(60);
    while state.path().exists() {
        let root = RootLock::acquire()?;
        if !state.is_supervised(&root)? && state.path().exists() {
            return sweep(state, Logs::Keep);
        }
        drop(root);
        if Instant::now() > deadline {
            return Err(supervisor_stays(state));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

fn supervisor_stays(state: &StateDir) -> ClusterError {
    ClusterError::LeftOver {
        name: state.name().to_owned(),
        left: "its supervisor does not end".to_owned(),
    }
}
