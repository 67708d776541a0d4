//! Finds and kills the processes of a cluster, without trusting process ids from a file.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, getpid, pidfd_open, pidfd_send_signal};

use super::error::ClusterError;
use super::site::MARK;
use super::state::StateDir;

/// Kills all processes with the cluster's mark in their environment, except the calling one: components, their
/// descendants, and those of [`super::TestCluster::command`].
///
/// # Errors
///
/// Some processes still exist after 20 s.
pub(crate) fn kill_marked(state: &StateDir) -> Result<(), ClusterError> {
    let mark = format!("{MARK}={}", state.path().display());
    kill_until_none(state, "processes", || {
        let pids = all()?.into_iter().filter(|&pid| has_mark(pid, &mark));
        Ok(pids.collect())
    })
}

/// Kills the processes that the function finds, until it finds none. They have exited when this returns: their sockets,
/// namespaces and cgroups are released.
pub(crate) fn kill_until_none(
    state: &StateDir,
    what: &str,
    find: impl Fn() -> io::Result<Vec<Pid>>,
) -> Result<(), ClusterError> {
    let find = || find().map_err(ClusterError::io("look for processes in", "/proc"));
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let found = find()?;
        if found.is_empty() {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(ClusterError::LeftOver {
                name: state.name().to_owned(),
                left: format!("{what} {found:?} do not end"),
            });
        }
        let open = |pid: Pid| Some((pid, pidfd_open(pid, PidfdFlags::empty()).ok()?));
        let mut opened: Vec<(Pid, OwnedFd)> = found.into_iter().filter_map(open).collect();
        // The id may have been reused before the process was opened. From now on it cannot be.
        let ours = find()?;
        opened.retain(|(pid, _)| ours.contains(pid));
        for (_, process) in &opened {
            // It may have exited on its own.
            pidfd_send_signal(process, Signal::KILL).ok();
        }
        for (_, process) in &opened {
            wait_for_end(process, deadline);
        }
    }
}

/// Waits for the exit of a process. An exiting process has no environment any more, but it still holds its resources.
fn wait_for_end(process: &OwnedFd, deadline: Instant) {
    let left = deadline.saturating_duration_since(Instant::now());
    let timeout = Timespec::try_from(left).ok();
    // The result does not matter: the next round finds the remaining processes.
    poll(&mut [PollFd::new(process, PollFlags::IN)], timeout.as_ref()).ok();
}

fn all() -> io::Result<Vec<Pid>> {
    let entries = fs::read_dir("/proc")?;
    Ok(entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(Pid::from_raw)
        .filter(|&pid| pid != getpid())
        .collect())
}

/// Processes of other users are unreadable and not ours. Exited ones have no environment.
fn has_mark(pid: Pid, mark: &str) -> bool {
    let path = Path::new("/proc")
        .join(pid.as_raw_nonzero().to_string())
        .join("environ");
    let environment = fs::read(path).unwrap_or_default();
    environment
        .split(|&byte| byte == 0)
        .any(|variable| variable == mark.as_bytes())
}
