//! The options of `pushscale demo`, and the fixed times of its load.

use std::path::PathBuf;

use clap::Args;

/// The options of `pushscale demo`.
#[derive(Clone, Debug, Args)]
pub struct DemoOptions {
    /// Use emulated servers even if a real TorchServe could run
    #[arg(long)]
    pub(super) emulated: bool,
    /// Requests per second before and after the step; one server handles about 9.5 requests of 100 ms
    #[arg(long, default_value_t = 2.0)]
    pub(super) low: f64,
    /// Requests per second during the step
    #[arg(long, default_value_t = 25.0)]
    pub(super) high: f64,
    /// Duration of the step, in seconds
    #[arg(long, default_value_t = 40.0)]
    pub(super) seconds: f64,
    /// Maximum number of servers
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(2..=20))]
    pub(super) max: u32,
    /// Target for the queue latency, in milliseconds
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=60_000))]
    pub(super) target_ms: u32,
    /// Directory for the report
    #[arg(long, default_value = "pushscale-demo")]
    pub(super) report: PathBuf,
}

/// The time before the step, in seconds.
pub(super) const BEFORE: f64 = 8.0;

/// The maximum time after the step, in seconds: the low load continues until the fleet has scaled down. The queueing
/// model accepts a lower arrival rate once one minute shows it.
pub(super) const AFTER: f64 = 120.0;
