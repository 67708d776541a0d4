//! The options of a real TorchServe.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::time::Duration;

use crate::MetricsMode;

/// The options of a local TorchServe, which uses free ports. The default has one model `sleepy` and one worker, takes
/// 100 ms per request, and listens on 127.0.0.1.
#[derive(Debug, Clone)]
pub struct ServerOptions {
    /// Names and versions. The first version of a name is the default version.
    pub models: Vec<(String, String)>,
    /// The address of the three HTTP ports.
    pub bind: IpAddr,
    /// Workers per model version.
    pub workers: usize,
    /// Maximum requests per batch.
    pub batch_size: usize,
    /// Maximum time that a worker waits for a batch to fill, in whole milliseconds.
    pub max_batch_delay: Duration,
    /// Maximum waiting requests per model version.
    pub job_queue_size: usize,
    /// The time that the handler takes for a batch.
    pub service: Duration,
    /// The time that the handler takes to load its model.
    pub load: Duration,
    /// The response of the metrics port.
    pub metrics_mode: MetricsMode,
    /// Additional lines for config.properties, `key=value`.
    pub extra: Vec<String>,
    /// A directory with programs that TorchServe finds before those of `PATH`, such as `nvidia-smi`.
    pub programs: Option<PathBuf>,
    /// The limit for the time from the start until all workers are READY.
    pub ready_timeout: Duration,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            models: vec![("sleepy".to_owned(), "1.0".to_owned())],
            bind: Ipv4Addr::LOCALHOST.into(),
            workers: 1,
            batch_size: 1,
            max_batch_delay: Duration::from_millis(100),
            job_queue_size: 100,
            service: Duration::from_millis(100),
            load: Duration::ZERO,
            metrics_mode: MetricsMode::default(),
            extra: Vec::new(),
            programs: None,
            ready_timeout: Duration::from_secs(90),
        }
    }
}

impl ServerOptions {
    /// Returns the arguments of `start.py`, without the ports.
    pub(super) fn arguments(&self) -> Vec<String> {
        let millis = |time: Duration| (time.as_secs_f64() * 1000.0).to_string();
        let mut arguments = vec![
            format!("--bind={}", self.bind),
            format!("--workers={}", self.workers),
            format!("--batch-size={}", self.batch_size),
            format!("--max-batch-delay={}", self.max_batch_delay.as_millis()),
            format!("--job-queue-size={}", self.job_queue_size),
            format!("--sleep-ms={}", millis(self.service)),
            format!("--load-ms={}", millis(self.load)),
            format!("--metrics-mode={}", self.metrics_mode.as_str()),
            format!("--ready-timeout={}", self.ready_timeout.as_secs_f64()),
        ];
        let models = self.models.iter();
        arguments.extend(models.map(|(name, version)| format!("--model={name}={version}")));
        arguments.extend(self.extra.iter().map(|line| format!("--extra={line}")));
        arguments
    }
}
