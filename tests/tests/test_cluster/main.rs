//! The test cluster works as documented and leaves nothing behind.

#![cfg(test)]

mod command_line;
mod control_plane;
mod leftovers;
mod node;
mod sidecar;
mod torchserve;

use std::time::{Duration, Instant};

use pushscale_tests::test_cluster::{Image, TestCluster};

/// How long anything may take that takes seconds on an idle machine: only a hang takes longer.
const TIMEOUT: Duration = Duration::from_secs(180);

/// Polls until the condition holds.
fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < TIMEOUT, "not within {TIMEOUT:?}: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The image of the probe program, which serves, resolves names and fetches.
const PROBE: &str = "pushscale.test/probe:1";

fn import_probe(cluster: &TestCluster) {
    let found = cluster
        .command("sh")
        .args(["-c", "command -v probe"])
        .output();
    let path = String::from_utf8(found.unwrap().stdout).unwrap();
    cluster
        .import_image(&Image {
            name: PROBE.to_owned(),
            files: vec![("/probe".into(), path.trim().into(), 0o755)],
            entrypoint: vec!["/probe".to_owned()],
            user: None,
        })
        .unwrap();
}
