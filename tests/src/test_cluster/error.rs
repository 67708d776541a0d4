//! Errors of test clusters.

use std::io;
use std::path::{Path, PathBuf};

/// An error of a test cluster. The message names what failed and what to do next.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClusterError {
    /// The node shape was requested without root.
    #[error(
        "no root: the node shape needs root and network namespaces; use the control-plane shape"
    )]
    NoRoot,

    /// The user is root, but in a sandbox that forbids namespaces.
    #[error(
        "no namespaces ({reason}): the node shape needs network and mount namespaces; use the \
         control-plane shape"
    )]
    NoNamespaces {
        /// The error of `unshare`.
        reason: String,
    },

    /// The name cannot be part of a socket's path and of a network namespace's name.
    #[error(
        "bad cluster name {name:?}: use 1 to 20 lower-case letters, digits and hyphens, a letter first"
    )]
    BadName {
        /// The requested name.
        name: String,
    },

    /// Unix sockets allow 107 bytes.
    #[error(
        "the state directory {} is too deep for unix sockets: set PUSHSCALE_TEST_CLUSTER_STATE to a directory \
         with a path of at most {limit} bytes", .path.display()
    )]
    PathTooLong {
        /// The directory of the cluster.
        path: PathBuf,
        /// The limit for its parent directory.
        limit: usize,
    },

    /// A cluster of that name is already running.
    #[error(
        "a cluster named {name} is running: take another name, or stop it with \
         \"pushscale-test-cluster down --name {name}\""
    )]
    NameTaken {
        /// The requested name.
        name: String,
    },

    /// No cluster of that name is running.
    #[error(
        "no cluster named {name} is running: start it with \"pushscale-test-cluster up --name {name}\""
    )]
    NotRunning {
        /// The requested name.
        name: String,
    },

    /// The programs could not be built or installed. The script's messages are on stderr.
    #[error("the cluster's programs could not be made: {reason}")]
    Provision {
        /// The exit status of the script.
        reason: String,
    },

    /// The supervisor's program was not built.
    #[error(
        "no program pushscale-test-cluster in {}: build it with \"cargo build -p pushscale-tests\"",
        .directory.display()
    )]
    NoSupervisor {
        /// The directory that was searched.
        directory: PathBuf,
    },

    /// A component exited unexpectedly.
    #[error("{component} ended ({status}) while the cluster waited for {waited_for}{log}")]
    Ended {
        /// The component.
        component: String,
        /// Its exit status or signal.
        status: String,
        /// What the cluster was waiting for.
        waited_for: String,
        /// The last lines of the component's log.
        log: LogTail,
    },

    /// A wait timed out.
    #[error("{component}: timed out after {seconds} s waiting for {waited_for}{log}")]
    Timeout {
        /// The component that was not ready.
        component: String,
        /// What the cluster was waiting for.
        waited_for: String,
        /// The time limit, in seconds.
        seconds: u64,
        /// The last lines of the component's log.
        log: LogTail,
    },

    /// The cluster was stopped during its start.
    #[error("stopped while it waited for {waited_for}")]
    Stopped {
        /// What the cluster was waiting for.
        waited_for: String,
    },

    /// The supervisor failed, with an error of its own.
    #[error("test cluster {name} did not start: {reason}\nits logs are kept in {}", .logs.display())]
    Start {
        /// The cluster.
        name: String,
        /// The supervisor's error.
        reason: String,
        /// The path of the logs.
        logs: PathBuf,
    },

    /// A running cluster rejected a request, or did not respond.
    #[error("test cluster {name} could not {request}: {reason}")]
    Request {
        /// The cluster.
        name: String,
        /// The request.
        request: String,
        /// Its response.
        reason: String,
    },

    /// A program that the cluster ran failed.
    #[error("{command} failed ({status}): {stderr}")]
    Command {
        /// The command line.
        command: String,
        /// Its exit status.
        status: String,
        /// Its stderr.
        stderr: String,
    },

    /// A part of a cluster could not be removed.
    #[error(
        "test cluster {name} is not wholly removed: {left}; try \"pushscale-test-cluster down --name {name}\""
    )]
    LeftOver {
        /// The cluster.
        name: String,
        /// What remains, and why.
        left: String,
    },

    /// A certificate could not be created.
    #[error("certificate of {subject}: {source}")]
    Certificate {
        /// The subject.
        subject: String,
        /// The certificate library's error.
        source: rcgen::Error,
    },

    /// A system call failed.
    #[error("cannot {action} {}: {source}", .path.display())]
    Io {
        /// The failed action: a verb.
        action: &'static str,
        /// The object of the action.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
}

impl ClusterError {
    /// Adds the name of the file or program to an error of the system, for `map_err`.
    pub(crate) fn io(
        action: &'static str,
        path: impl AsRef<Path>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.as_ref().to_path_buf();
        move |source| Self::Io {
            action,
            path,
            source,
        }
    }
}

/// The last lines of a log, as the tail of a message.
#[derive(Debug)]
pub struct LogTail(pub(crate) String);

impl std::fmt::Display for LogTail {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0.is_empty() {
            formatter.write_str("; it logged nothing")
        } else {
            write!(formatter, "; the end of its log:\n{}", self.0)
        }
    }
}
