//! The control groups below which kubelet puts the pods of one cluster, in either version of cgroups.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::Pid;

use super::error::ClusterError;
use super::mounts;
use super::processes::kill_until_none;
use super::state::StateDir;

/// Creates the cluster's group in each hierarchy.
pub(crate) fn create(state: &StateDir) -> Result<(), ClusterError> {
    // With both versions mounted, the second is systemd's and has no controllers.
    let mut hierarchies = mounts::mount_points_of(&["cgroup"])?;
    if hierarchies.is_empty() {
        hierarchies = mounts::mount_points_of(&["cgroup2"])?;
        hierarchies.iter().for_each(|root| delegate(root));
    }
    for hierarchy in hierarchies {
        let group = hierarchy.join(state.id());
        fs::create_dir(&group).map_err(ClusterError::io("create the cgroup", &group))?;
    }
    Ok(())
}

/// Kills all processes in the cluster's groups, which are those of its containers, and removes the groups.
pub(crate) fn remove(state: &StateDir) -> Result<(), ClusterError> {
    let roots: Vec<PathBuf> = mounts::mount_points_of(&["cgroup", "cgroup2"])?
        .into_iter()
        .map(|hierarchy| hierarchy.join(state.id()))
        .filter(|group| group.is_dir())
        .collect();
    kill_until_none(state, "processes of containers", || {
        let groups = roots.iter().flat_map(|root| with_children(root));
        Ok(groups.flat_map(|group| members(&group)).collect())
    })?;
    let deadline = Instant::now() + Duration::from_secs(10);
    for group in roots.iter().flat_map(|root| with_children(root)) {
        remove_group(&group, deadline).map_err(ClusterError::io("remove the cgroup", &group))?;
    }
    Ok(())
}

/// In cgroup v2, a group has the controllers that its parent delegates. If one cannot be delegated, kubelet reports
/// which it misses.
fn delegate(root: &Path) {
    let controllers = fs::read_to_string(root.join("cgroup.controllers")).unwrap_or_default();
    for controller in controllers.split_whitespace() {
        fs::write(
            root.join("cgroup.subtree_control"),
            format!("+{controller}"),
        )
        .ok();
    }
}

/// Returns a group and all its descendants, children first.
fn with_children(group: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(group).into_iter().flatten();
    let mut groups: Vec<PathBuf> = entries
        .filter_map(Result::ok)
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .flat_map(|entry| with_children(&entry.path()))
        .collect();
    groups.push(group.to_path_buf());
    groups
}

fn members(group: &Path) -> Vec<Pid> {
    let text = fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
    text.lines()
        .filter_map(|line| Pid::from_raw(line.parse().ok()?))
        .collect()
}

/// Removes a group. It is busy for a moment after its last process has exited.
fn remove_group(group: &Path, deadline: Instant) -> io::Result<()> {
    loop {
        match fs::remove_dir(group) {
            Err(error)
                if error.kind() == io::ErrorKind::ResourceBusy && Instant::now() < deadline =>
            {
                std::thread::sleep(Duration::from_millis(20));
            }
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => return Ok(()),
        }
    }
}
