//! Finds and kills the processes of a rig, without trusting process ids from a file.

use std::fs;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, getpid, kill_process};

use super::error::RigError;
use super::site::MARK;
use super::state::StateDir;

/// Kills all processes that carry the rig's mark in their environment, except the calling one:
/// components, what they started, and what [`super::Rig::command`] started.
///
/// # Errors
///
/// Some are still there after 20 s.
pub(crate) fn kill_marked(state: &StateDir) -> Result<(), RigError> {
    let mark = format!("{MARK}={}", state.path().display());
    kill_until_none(state, "processes", || {
        let pids = all()?.into_iter().filter(|&pid| has_mark(pid, &mark));
        Ok(pids.collect())
    })
}

/// Kills what the function finds, again and again until it finds nothing.
pub(crate) fn kill_until_none(
    state: &StateDir,
    what: &str,
    find: impl Fn() -> io::Result<Vec<Pid>>,
) -> Result<(), RigError> {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let found = find().map_err(RigError::io("look for processes in", "/proc"))?;
        if found.is_empty() {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(RigError::LeftOver {
                name: state.name().to_owned(),
                left: format!("{what} {found:?} do not end"),
            });
        }
        for pid in found {
            // It may be gone by now; if it is not, the next round finds it.
            kill_process(pid, Signal::KILL).ok();
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn all() -> io::Result<Vec<Pid>> {
    let entries = fs::read_dir("/proc")?;
    Ok(entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(Pid::from_raw)
        .filter(|&pid| pid != getpid())
        .collect())
}

/// Processes of other users cannot be read and are not ours; ended ones have no environment.
fn has_mark(pid: Pid, mark: &str) -> bool {
    let path = Path::new("/proc")
        .join(pid.as_raw_nonzero().to_string())
        .join("environ");
    let environment = fs::read(path).unwrap_or_default();
    environment
        .split(|&byte| byte == 0)
        .any(|variable| variable == mark.as_bytes())
}
