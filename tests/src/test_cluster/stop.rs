//! Ends a cluster, from outside of its supervisor.

use std::fs::{File, TryLockError};
use std::time::{Duration, Instant};

use super::control::{self, Request};
use super::error::ClusterError;
use super::state::{RootLock, StateDir};
use super::sweep::{Logs, sweep};

/// Tells a cluster to end, and returns when nothing of it is left.
pub(crate) fn stop(state: &StateDir, keep_logs: bool) -> Result<(), ClusterError> {
    // The supervisor removes the file as one of the last things it does, but holds the lock on it
    // until its very end.
    let lock = File::open(state.lock_file()).ok();
    match control::ask(state, &Request::Stop { keep_logs }) {
        // If it does not listen any more, it is ending or dead.
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

/// Waits until a cluster that was told to stop is removed; removes it if its supervisor has died.
pub(crate) fn wait_until_removed(state: &StateDir) -> Result<(), ClusterError> {
    let deadline = Instant::now() + Duration::from_secs(60);
    while state.path().exists() {
        let root = RootLock::take()?;
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
