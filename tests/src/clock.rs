//! Programs whose wall clock is wrong.

use std::process::Command;

use crate::programs;
use crate::test_cluster::TestCluster;

/// Returns the environment of a dynamically linked program whose wall clock is ahead by this number of seconds; behind,
/// if negative. Its monotonic clock is not changed.
///
/// # Panics
/// There is no C compiler.
pub fn shifted(cluster: &TestCluster, seconds: i32) -> [(&'static str, String); 2] {
    let library = cluster.logs_dir().join("clock.so");
    let source = programs::repository().join("tests/src/clock.c");
    let mut compiler = Command::new("cc");
    compiler.args(["-shared", "-fPIC", "-o"]);
    let status = compiler.arg(&library).arg(source).status();
    assert!(status.unwrap().success(), "{compiler:?}");
    [
        ("LD_PRELOAD", library.display().to_string()),
        ("CLOCK_SHIFT", seconds.to_string()),
    ]
}
