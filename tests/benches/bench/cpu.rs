//! CPU time and memory, from the kernel.

use std::fs;

use rustix::thread::{CpuSet, sched_setaffinity};

/// Returns the CPU time of the calling thread, in nanoseconds.
pub(crate) fn of_this_thread() -> u64 {
    read("/proc/thread-self/schedstat")
}

/// Returns the CPU time of a process's first thread, in nanoseconds.
pub(crate) fn of_process(id: u32) -> u64 {
    fs::read_dir(format!("/proc/{id}/task"))
        .unwrap()
        .map(|task| read(&format!("{}/schedstat", task.unwrap().path().display())))
        .sum()
}

fn read(path: &str) -> u64 {
    // A thread may end between the listing and the reading.
    let text = fs::read_to_string(path).unwrap_or_default();
    let first = text.split_whitespace().next();
    first.and_then(|word| word.parse().ok()).unwrap_or_default()
}

/// Returns the resident memory of a process, all and anonymous, in bytes.
pub(crate) fn resident(id: u32) -> (u64, u64) {
    let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    let bytes = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let kilobytes = line.unwrap().trim().trim_end_matches(" kB");
        kilobytes.parse::<u64>().unwrap() * 1024
    };
    (bytes("VmRSS:"), bytes("RssAnon:"))
}

/// Pins the calling thread to this core.
pub(crate) fn pin(core: usize) {
    let mut cores = CpuSet::new();
    cores.set(core);
    // Without the permission the figures are noisier, but still correct.
    sched_setaffinity(None, &cores).ok();
}
