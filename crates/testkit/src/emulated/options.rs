//! The options of an emulated server.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use super::EmulatedError;
use crate::MetricsMode;

/// The options of an emulated server. The default has one model `sleepy` and one worker, takes 100 ms per request, uses
/// free ports on 127.0.0.1, and starts without delay.
#[derive(Debug, Clone)]
pub struct ServerOptions {
    /// The models. The first entry with a name is its default version.
    pub models: Vec<ModelOptions>,
    /// The address of the three ports.
    pub bind: IpAddr,
    /// The label `hostname` of every metric.
    pub hostname: String,
    /// The response of the metrics port.
    pub metrics_mode: MetricsMode,
    /// The time from the start until the ports open. Connections are refused before that.
    pub start_delay: Duration,
    /// The time that a batch takes in addition to its service time, in the frontend and on the way to the worker.
    pub overhead: Duration,
}

/// The options of one version of a model.
#[derive(Debug, Clone)]
pub struct ModelOptions {
    /// The unescaped name.
    pub name: String,
    /// The unescaped version.
    pub version: String,
    /// The number of batches processed in parallel. With 0, all requests are rejected.
    pub workers: usize,
    /// Maximum requests per batch.
    pub batch_size: usize,
    /// Maximum time that a worker waits for a batch to fill.
    pub max_batch_delay: Duration,
    /// Maximum waiting requests, excluding those in flight.
    pub job_queue_size: usize,
    /// The service time of a batch.
    pub service: Duration,
    /// The time from the opening of the ports until the workers are READY.
    pub load: Duration,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            models: vec![ModelOptions::default()],
            bind: Ipv4Addr::LOCALHOST.into(),
            hostname: "localhost".to_owned(),
            metrics_mode: MetricsMode::default(),
            start_delay: Duration::ZERO,
            // Together with tokio's timer, which rounds up, a request takes 105 ms, like with the real TorchServe.
            overhead: Duration::from_millis(4),
        }
    }
}

impl Default for ModelOptions {
    fn default() -> Self {
        Self {
            name: "sleepy".to_owned(),
            version: "1.0".to_owned(),
            workers: 1,
            batch_size: 1,
            max_batch_delay: Duration::from_millis(100),
            job_queue_size: 100,
            service: Duration::from_millis(100),
            load: Duration::ZERO,
        }
    }
}

impl ServerOptions {
    pub(super) fn check(&self) -> Result<(), EmulatedError> {
        if self.models.is_empty() {
            return Err(EmulatedError::NoModel);
        }
        for (index, model) in self.models.iter().enumerate() {
            let twice = self.models[..index]
                .iter()
                .any(|m| m.name == model.name && m.version == model.version);
            model.check(twice).map_err(|problem| EmulatedError::Model {
                name: model.name.clone(),
                version: model.version.clone(),
                problem,
            })?;
        }
        Ok(())
    }
}

impl ModelOptions {
    fn check(&self, twice: bool) -> Result<(), &'static str> {
        if twice {
            return Err("duplicate name and version");
        }
        if self.batch_size == 0 {
            return Err("batch_size is 0; give at least 1");
        }
        if self.job_queue_size == 0 {
            return Err("job_queue_size is 0; give at least 1");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invalid_options_are_rejected_by_name() {
        let mut options = ServerOptions::default();
        options.models.push(ModelOptions::default());
        let error = options.check().unwrap_err().to_string();
        assert_eq!(
            error,
            "invalid model \"sleepy\" version \"1.0\": duplicate name and version"
        );
        options.models.clear();
        assert!(matches!(options.check(), Err(EmulatedError::NoModel)));
    }
}
