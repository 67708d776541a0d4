//! Metrics of every program: its version, and the resources of its process under Prometheus' standard names.

use std::fmt;
use std::fs;
use std::time::{Duration, SystemTime};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;
use rustix::process::{Resource, getrlimit};
use rustix::time::{ClockId, clock_gettime};

use crate::config::Program;

/// Creates a registry with `pushscale_build_info` and the metrics of the process.
pub fn registry(program: &Program) -> Registry {
    let mut registry = Registry::default();
    registry.register(
        "pushscale_build",
        "Version of the program",
        Info::new([
            ("program", program.name),
            ("version", env!("CARGO_PKG_VERSION")),
        ]),
    );
    registry.register_collector(Box::new(ProcessMetrics {
        started: SystemTime::now(),
    }));
    registry
}

/// Reads the resources of the process when they are scraped, and costs nothing in between. Values that the kernel does
/// not report are left out.
#[derive(Debug)]
struct ProcessMetrics {
    /// When the registry was created, which is among the first things that a program does.
    started: SystemTime,
}

impl Collector for ProcessMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let encoder = &mut encoder;
        let cpu = ConstCounter::new(cpu_time().as_secs_f64());
        let help = "CPU time of the process, user and system";
        add(encoder, "process_cpu_seconds", help, &cpu)?;
        if let Some(bytes) = resident_bytes() {
            let help = "Resident memory of the process";
            let bytes = ConstGauge::new(bytes);
            add(encoder, "process_resident_memory_bytes", help, &bytes)?;
        }
        if let Some(count) = open_files() {
            let help = "Open file descriptors";
            let count = ConstGauge::new(count);
            add(encoder, "process_open_fds", help, &count)?;
        }
        if let Some(limit) = getrlimit(Resource::Nofile).current {
            let help = "Maximum number of open file descriptors";
            let limit = ConstGauge::new(limit);
            add(encoder, "process_max_fds", help, &limit)?;
        }
        let started = self.started.duration_since(SystemTime::UNIX_EPOCH);
        let started = ConstGauge::new(started.unwrap_or_default().as_secs_f64());
        let help = "Start of the process, as a Unix timestamp";
        add(encoder, "process_start_time_seconds", help, &started)
    }
}

fn add(
    encoder: &mut DescriptorEncoder,
    name: &str,
    help: &str,
    metric: &impl EncodeMetric,
) -> fmt::Result {
    let encoder = encoder.encode_descriptor(name, help, None, metric.metric_type())?;
    metric.encode(encoder)
}

fn cpu_time() -> Duration {
    clock_gettime(ClockId::ProcessCPUTime)
        .try_into()
        .unwrap_or_default()
}

/// Returns the second field of `/proc/self/statm`, which is in pages, in bytes.
fn resident_bytes() -> Option<u64> {
    let fields = fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = fields.split(' ').nth(1)?.parse().ok()?;
    Some(pages * u64::try_from(rustix::param::page_size()).ok()?)
}

/// Counts the open files. Since Linux 6.2 the size of the directory is their number; listing thousands takes
/// milliseconds.
fn open_files() -> Option<u64> {
    let directory = "/proc/self/fd";
    match fs::metadata(directory).ok()?.len() {
        0 => u64::try_from(fs::read_dir(directory).ok()?.count()).ok(),
        count => Some(count),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static PROGRAM: Program = Program {
        name: "pushscale-test",
        about: "",
        prefix: "PUSHSCALE_TEST",
        formats: "",
        commands: &[],
        settings: &[],
    };

    fn page() -> String {
        let mut page = String::new();
        prometheus_client::encoding::text::encode(&mut page, &registry(&PROGRAM)).unwrap();
        page
    }

    fn value(page: &str, metric: &str) -> f64 {
        let line = page.lines().find(|line| {
            let name = line.split([' ', '{']).next();
            name == Some(metric)
        });
        let line = line.unwrap_or_else(|| panic!("no {metric} in\n{page}"));
        line.rsplit(' ').next().unwrap().parse().unwrap()
    }

    #[test]
    fn the_version_is_a_label() {
        let version = env!("CARGO_PKG_VERSION");
        let line =
            format!("pushscale_build_info{{program=\"pushscale-test\",version=\"{version}\"}} 1");
        assert!(page().contains(&line), "{}", page());
    }

    #[test]
    fn the_metrics_of_the_process_have_their_standard_names_and_plausible_values() {
        let page = page();
        assert!(value(&page, "process_resident_memory_bytes") > 1e5);
        assert!(value(&page, "process_cpu_seconds_total") > 0.0);
        let files = value(&page, "process_open_fds");
        assert!(files >= 3.0 && files <= value(&page, "process_max_fds"));
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let started = value(&page, "process_start_time_seconds");
        assert!((now.unwrap().as_secs_f64() - started).abs() < 60.0);
    }
}
