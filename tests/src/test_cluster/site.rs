//! The description of a cluster that its owner, its supervisor and other processes share.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::process::Command;

use serde::{Deserialize, Serialize};

use super::error::ClusterError;
use super::network;
use super::programs::Programs;
use super::shape::Shape;
use super::state::StateDir;

/// The environment variable that marks processes of a cluster. Its value is the state directory.
pub(crate) const MARK: &str = "PUSHSCALE_TEST_CLUSTER";

/// A cluster's directory and the contents of its `cluster.json`.
#[derive(Debug, Clone)]
pub(crate) struct Site {
    pub(crate) state: StateDir,
    pub(crate) shape: Shape,
    pub(crate) programs: Programs,
}

#[derive(Serialize, Deserialize)]
struct Description {
    shape: Shape,
    programs: Programs,
}

impl Site {
    /// Writes `cluster.json`, which [`Site::read`] reads.
    pub(crate) fn write(&self) -> Result<(), ClusterError> {
        let description = Description {
            shape: self.shape,
            programs: self.programs.clone(),
        };
        let path = self.state.description();
        let file = fs::File::create(&path).map_err(ClusterError::io("create", &path))?;
        serde_json::to_writer_pretty(file, &description)
            .map_err(|error| ClusterError::io("write", &path)(error.into()))
    }

    pub(crate) fn read(state: StateDir) -> Result<Self, ClusterError> {
        let path = state.description();
        let text = fs::read_to_string(&path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => ClusterError::NotRunning {
                name: state.name().to_owned(),
            },
            _ => ClusterError::io("read", &path)(error),
        })?;
        let Description { shape, programs } = serde_json::from_str(&text)
            .map_err(|error| ClusterError::io("understand", &path)(error.into()))?;
        Ok(Self {
            state,
            shape,
            programs,
        })
    }

    /// Returns the address of the API server, and of servers of tests inside the cluster.
    pub(crate) fn address(&self) -> IpAddr {
        match self.shape {
            Shape::ControlPlane => IpAddr::V4(Ipv4Addr::LOCALHOST),
            // From a range for documentation, which contains no public addresses.
            Shape::Node => IpAddr::V4(Ipv4Addr::new(192, 0, 2, 10)),
        }
    }

    pub(crate) fn admin_kubeconfig(&self) -> PathBuf {
        self.state.kubeconfig_of("admin")
    }

    /// Returns a command that runs in the cluster's network, with its kubeconfig and programs.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = match self.shape {
            Shape::ControlPlane => Command::new(program),
            // Never "ip netns exec": it mounts another /sys, without cgroups.
            Shape::Node => {
                let mut command = Command::new("nsenter");
                let namespace = network::path(&self.state);
                command.arg(format!("--net={}", namespace.display()));
                command.arg(program);
                command
            }
        };
        command
            .env("PATH", self.programs.search_path())
            .env("KUBECONFIG", self.admin_kubeconfig())
            // kubectl caches the API of a server by the server's address, which all clusters share.
            .env("KUBECACHEDIR", self.state.path().join("kubectl-cache"))
            .env(MARK, self.state.path());
        command
    }
}
