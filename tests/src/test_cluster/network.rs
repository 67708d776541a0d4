//! The network namespace of a cluster. It has no connection to other networks, and every cluster has the same
//! addresses.

use std::fs::File;
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::error::ClusterError;
use super::run;
use super::state::{RootLock, StateDir};

/// Creates the namespace, with loopback and one interface for the node.
pub(crate) fn create(state: &StateDir, address: IpAddr) -> Result<(), ClusterError> {
    let id = state.id();
    {
        // The first "ip netns add" on a machine also mounts /run/netns. Two at once would mount it twice.
        let _lock = RootLock::acquire()?;
        ip(&format!("netns add {id}"))?;
    }
    ip(&format!("-n {id} link set lo up"))?;
    // A bridge without ports: not every kernel has the "dummy" device.
    ip(&format!("-n {id} link add node0 type bridge"))?;
    ip(&format!("-n {id} address add {address}/24 dev node0"))?;
    ip(&format!("-n {id} link set node0 up"))?;
    // kubelet and the API server look for the interface of the default route.
    ip(&format!("-n {id} route add default dev node0"))
}

/// Returns the path of the namespace, as `ip netns` uses it.
pub(crate) fn path(state: &StateDir) -> PathBuf {
    Path::new("/run/netns").join(state.id())
}

/// Removes the namespace's name. The kernel removes the rest with its last process.
pub(crate) fn remove(state: &StateDir) -> Result<(), ClusterError> {
    if path(state).exists() {
        ip(&format!("netns delete {}", state.id()))?;
    }
    Ok(())
}

/// Moves the calling thread into the namespace permanently.
pub(crate) fn enter(namespace: &Path) -> Result<(), ClusterError> {
    let file = File::open(namespace).map_err(ClusterError::io("open", namespace))?;
    move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))
        .map_err(|error| ClusterError::io("enter", namespace)(error.into()))
}

fn ip(arguments: &str) -> Result<(), ClusterError> {
    run::output(Command::new("ip").args(arguments.split(' '))).map(|_nothing| ())
}
