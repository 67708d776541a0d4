//! The supervisor's reports to its starter, one JSON value per line, and progress for the user.

use std::io::{self, Write};

use serde::{Deserialize, Serialize};

/// A line from the supervisor.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Report {
    /// The supervisor holds the cluster's lock: from now on the cluster is not stale.
    Locked,
    /// Progress for the user.
    Progress(String),
    /// The cluster is usable.
    Ready,
    /// The cluster did not start, for this reason, and is removed.
    Failed(String),
}

impl Report {
    /// Writes the line. The receiver may be closed, which is not an error.
    pub(crate) fn send(&self, mut to: impl Write) {
        if let Ok(mut line) = serde_json::to_vec(self) {
            line.push(b'\n');
            to.write_all(&line).and_then(|()| to.flush()).ok();
        }
    }
}

/// Prints progress past the test harness, which would keep it until the end.
pub(crate) fn progress(text: &str) {
    writeln!(io::stderr(), "test cluster: {text}").ok();
}
