//! Processor time and memory, as the kernel counts them.

use std::fs;

use rustix::thread::{CpuSet, sched_setaffinity};

/// What the calling thread has run so far, in nanoseconds.
pub(crate) fn of_this_thread() -> u64 {
    read("/proc/thread-self/schedstat")
}

/// What a process (its first thread) has run so far, in nanoseconds.
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

/// Resident memory of a process, all and anonymous, in bytes.
pub(crate) fn resident(id: u32) -> (u64, u64) {
    let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    let bytes = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let kilobytes = line.unwrap().trim().trim_end_matches(" kB");
        kilobytes.parse::<u64>().unwrap() * 1024
    };
    (bytes("VmRSS:"), bytes("RssAnon:"))
}

/// The calling thread stays on this core from now on.
pub(crate) fn pin(core: usize) {
    let mut cores = CpuSet::new();
    cores.set(core);
    // Where it is not allowed, the figures are noisier and still right.
    sched_setaffinity(None, &cores).ok();
}
