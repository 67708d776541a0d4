//! What a supervisor tells its starter, one JSON value a line, and what people are told.

use std::io::{self, Write};

use serde::{Deserialize, Serialize};

/// A line from the supervisor.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Report {
    /// The supervisor holds the cluster's lock: from now on nobody takes the cluster for stale.
    Locked,
    /// For people who wait.
    Progress(String),
    /// The cluster is usable.
    Ready,
    /// The cluster did not start, for this reason, and is removed.
    Failed(String),
}

impl Report {
    /// Writes the line. Nobody may listen any more, which is no failure.
    pub(crate) fn send(&self, mut to: impl Write) {
        if let Ok(mut line) = serde_json::to_vec(self) {
            line.push(b'\n');
            to.write_all(&line).and_then(|()| to.flush()).ok();
        }
    }
}

/// Says something to whoever waits, past the test harness, which would keep it until the end.
pub(crate) fn say(text: &str) {
    writeln!(io::stderr(), "test cluster: {text}").ok();
}
