//! The two shapes of a cluster, and whether this machine can run them.

use std::env;
use std::fmt;
use std::io::{self, Write};
use std::process::Command;

use serde::{Deserialize, Serialize};

use super::error::ClusterError;

/// The components of a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Shape {
    /// etcd, kube-apiserver and kube-controller-manager on loopback: objects and controllers, but
    /// no pod ever runs. Any user can start it.
    ControlPlane,
    /// A cluster with one node in its own network namespace: real containers, Services and DNS. Needs root.
    Node,
}

impl Shape {
    /// Checks whether this user can run the shape on this machine.
    ///
    /// # Errors
    ///
    /// For the node shape: not root, or namespaces cannot be created.
    pub fn check(self) -> Result<(), ClusterError> {
        match self {
            Self::ControlPlane => Ok(()),
            Self::Node if !rustix::process::geteuid().is_root() => Err(ClusterError::NoRoot),
            Self::Node => check_namespaces(),
        }
    }

    /// Returns whether the shape can run here, for tests, with a message on stderr if it cannot. Under `CI=true` it
    /// returns true, so that the start fails and the test with it: CI must not skip tests.
    #[must_use]
    pub fn available(self) -> bool {
        match self.check() {
            Ok(()) => true,
            Err(reason) => !skip_unless_ci(&reason),
        }
    }

    /// Returns the name for command lines.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ControlPlane => "control-plane",
            Self::Node => "node",
        }
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// Returns whether a test that cannot run here may pass, and reports that it did not run. Under `CI=true` it may not.
pub fn skip_unless_ci(reason: &dyn fmt::Display) -> bool {
    if env::var_os("CI").is_some_and(|value| value == "true") {
        return false;
    }
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("a test");
    // Past the test harness, which shows the output of failed tests only.
    writeln!(io::stderr(), "\nNOT RUN: {test}: {reason}\n").ok();
    true
}

fn check_namespaces() -> Result<(), ClusterError> {
    let reason = match Command::new("unshare")
        .args(["--net", "--mount", "true"])
        .output()
    {
        Ok(output) if output.status.success() => return Ok(()),
        Ok(output) => String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        Err(error) => format!("unshare: {error}"),
    };
    Err(ClusterError::NoNamespaces { reason })
}
