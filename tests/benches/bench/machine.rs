//! The machine of the measurement.

use std::fs;
use std::process::Command;

/// Returns a line with the machine and the versions.
pub(crate) fn print() {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpuinfo
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or("unknown processor", |(_, model)| model);
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let memory: u64 = memory
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:")?.trim().strip_suffix(" kB"))
        .and_then(|kilobytes| kilobytes.parse().ok())
        .unwrap_or_default();
    println!("{model}, {cores} cores, {} GiB", memory / (1 << 20));
    println!(
        "{}; {}; pushscale {}",
        output_of("uname", &["-sr"]),
        output_of("rustc", &["--version"]),
        env!("CARGO_PKG_VERSION")
    );
}

fn output_of(program: &str, arguments: &[&str]) -> String {
    Command::new(program)
        .args(arguments)
        .output()
        .map_or(format!("no {program}"), |output| {
            String::from_utf8_lossy(&output.stdout).trim().to_owned()
        })
}
