//! What an emulated server is like.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use super::EmulatedError;
use crate::{MetricsMode, ServiceTime};

/// One emulated server. The default: one model `sleepy`, one worker, 100 ms a request,
/// free ports on 127.0.0.1, no delays at the start.
#[derive(Debug, Clone)]
pub struct ServerOptions {
    /// The models; the first entry of a name is its default version.
    pub models: Vec<ModelOptions>,
    /// Where the three ports listen.
    pub bind: IpAddr,
    /// 0 takes a free one.
    pub inference_port: u16,
    /// 0 takes a free one.
    pub management_port: u16,
    /// 0 takes a free one.
    pub metrics_port: u16,
    /// The label `hostname` of every metric.
    pub hostname: String,
    /// What the metrics port answers.
    pub metrics_mode: MetricsMode,
    /// From the start until the ports open; until then connections are refused.
    pub start_delay: Duration,
    /// What a batch takes beyond its service time, in the frontend and on the way to the worker.
    pub overhead: Duration,
    /// For everything random.
    pub seed: u64,
}

/// One version of one model.
#[derive(Debug, Clone)]
pub struct ModelOptions {
    /// As in the URL, unescaped.
    pub name: String,
    /// As in the URL, unescaped.
    pub version: String,
    /// How many batches are served at once; with 0 every request is refused.
    pub workers: usize,
    /// Requests per batch.
    pub batch_size: usize,
    /// How long a worker waits for a batch to fill.
    pub max_batch_delay: Duration,
    /// How many requests may wait; those in service do not count.
    pub job_queue_size: usize,
    /// How long a batch takes.
    pub service: ServiceTime,
    /// From the opening of the ports until the workers are READY.
    pub load: Duration,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            models: vec![ModelOptions::default()],
            bind: Ipv4Addr::LOCALHOST.into(),
            inference_port: 0,
            management_port: 0,
            metrics_port: 0,
            hostname: "localhost".to_owned(),
            metrics_mode: MetricsMode::default(),
            start_delay: Duration::ZERO,
            // With tokio's timer, which rounds up, a request takes the 105 ms of the real one.
            overhead: Duration::from_millis(4),
            seed: 1,
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
            service: ServiceTime::Fixed(Duration::from_millis(100)),
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
            return Err("it is given twice; give another version");
        }
        if self.batch_size == 0 {
            return Err("batch_size is 0; give at least 1");
        }
        if self.job_queue_size == 0 {
            return Err("job_queue_size is 0; give at least 1");
        }
        match self.service {
            ServiceTime::Lognormal { sigma, .. } if !(0.0..=10.0).contains(&sigma) => {
                Err("sigma of the service time is not within 0 and 10")
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_that_make_no_sense_are_refused_by_name() {
        let mut options = ServerOptions::default();
        options.models.push(ModelOptions::default());
        let error = options.check().unwrap_err().to_string();
        assert_eq!(
            error,
            "emulate model \"sleepy\" version \"1.0\": it is given twice; give another version"
        );
        options.models.clear();
        assert!(matches!(options.check(), Err(EmulatedError::NoModel)));
    }
}
