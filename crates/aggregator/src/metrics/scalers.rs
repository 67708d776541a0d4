//! Series per PushScaler, for a bounded number of them.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeGaugeValue, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;
use pushscale_api::conditions::CONDITIONS;
use pushscale_daemon::log_limiter::LogLimiter;

use crate::names::ScalerKey;

/// Maximum number of PushScalers with series of their own. Each has up to thirteen, of about 100 bytes in a scrape.
pub(super) const MAX_SCALERS: usize = 1000;

/// The newest sample of each PushScaler.
#[derive(Debug)]
pub(super) struct ScalerMetrics {
    samples: Mutex<BTreeMap<ScalerKey, ScalerSample>>,
    /// A follower computes replicas and conditions too, but nothing follows from them.
    leads: AtomicBool,
    limit_log: LogLimiter,
}

/// The figures of one PushScaler. What is unknown has no series: zero would be a value.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct ScalerSample {
    /// The replica count of the last decision.
    pub(crate) desired_replicas: Option<u32>,
    /// Replicas in the target's spec.
    pub(crate) current_replicas: Option<u32>,
    /// The mean queue latency over the pods; with several metrics, of the one that proposes the most replicas.
    pub(crate) latency_seconds: Option<f64>,
    /// The estimated percentile of the wait, if the target of this metric applies to one.
    pub(crate) wait_percentile_seconds: Option<f64>,
    /// Pods with a fresh queue latency, and all running pods.
    pub(crate) pods: Option<(u32, u32)>,
    /// The conditions that have occurred.
    pub(crate) conditions: [Option<(&'static str, bool)>; CONDITIONS],
}

impl ScalerMetrics {
    pub(super) fn new() -> Self {
        Self {
            samples: Mutex::default(),
            leads: AtomicBool::new(false),
            limit_log: LogLimiter::new(1, Duration::from_secs(3600)),
        }
    }

    /// Replaces the sample of a PushScaler. Only the first one of each allocates.
    pub(super) fn record(&self, key: &ScalerKey, sample: ScalerSample) {
        let mut samples = self.samples.lock();
        if let Some(known) = samples.get_mut(key) {
            *known = sample;
        } else if samples.len() < MAX_SCALERS {
            samples.insert(key.clone(), sample);
        } else if self.limit_log.allow(Instant::now()).is_some() {
            tracing::warn!(
                limit = MAX_SCALERS,
                "too many PushScalers: some have no metrics of their own"
            );
        }
    }

    pub(super) fn remove(&self, key: &ScalerKey) {
        self.samples.lock().remove(key);
    }

    pub(super) fn set_leader(&self, leads: bool) {
        self.leads.store(leads, Ordering::Relaxed);
    }
}

impl Collector for ScalerMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        // The copy takes a fraction of a millisecond. Encoding takes longer, and the control loop must not wait for it.
        let samples = self.samples.lock().clone();
        let page = Page {
            encoder: &mut encoder,
            samples: &samples,
        };
        page.encode(self.leads.load(Ordering::Relaxed))
    }
}

struct Page<'a, 'e> {
    encoder: &'a mut DescriptorEncoder<'e>,
    samples: &'a BTreeMap<ScalerKey, ScalerSample>,
}

impl Page<'_, '_> {
    fn encode(mut self, leads: bool) -> fmt::Result {
        self.gauge(
            "pods_reporting",
            "Pods of a PushScaler with a fresh queue latency",
            |sample| sample.pods.map(|(reporting, _)| reporting),
        )?;
        self.gauge("pods_running", "Running pods of a PushScaler", |sample| {
            sample.pods.map(|(_, running)| running)
        })?;
        if !leads {
            return Ok(());
        }
        self.gauge(
            "desired_replicas",
            "Desired replicas of a PushScaler",
            |sample| sample.desired_replicas,
        )?;
        self.gauge(
            "current_replicas",
            "Replicas in the spec of a PushScaler's target",
            |sample| sample.current_replicas,
        )?;
        self.gauge(
            "latency_seconds",
            "Mean queue latency of a PushScaler's pods; absent while it is unknown",
            |sample| sample.latency_seconds,
        )?;
        self.gauge(
            "wait_percentile_seconds",
            "Estimated percentile of the wait that a PushScaler's target applies to; absent while it is unknown",
            |sample| sample.wait_percentile_seconds,
        )?;
        self.conditions()
    }

    fn gauge<N: EncodeGaugeValue>(
        &mut self,
        name: &str,
        help: &str,
        value: impl Fn(&ScalerSample) -> Option<N>,
    ) -> fmt::Result {
        let mut family = self
            .encoder
            .encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (key, sample) in self.samples {
            if let Some(value) = value(sample) {
                let labels = [
                    ("namespace", key.namespace.as_str()),
                    ("pushscaler", key.name.as_str()),
                ];
                ConstGauge::new(value).encode(family.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }

    fn conditions(&mut self) -> fmt::Result {
        let help = "Conditions of a PushScaler: 1 if True, 0 if False";
        let mut family =
            self.encoder
                .encode_descriptor("condition_status", help, None, MetricType::Gauge)?;
        for (key, sample) in self.samples {
            for (condition, holds) in sample.conditions.into_iter().flatten() {
                let labels = [
                    ("namespace", key.namespace.as_str()),
                    ("pushscaler", key.name.as_str()),
                    ("condition", condition),
                ];
                let value = ConstGauge::new(u32::from(holds));
                value.encode(family.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use prometheus_client::registry::Registry;

    use super::*;

    fn key(name: impl ToString) -> ScalerKey {
        ScalerKey::new("models", name.to_string())
    }

    fn sample() -> ScalerSample {
        let mut conditions = [None; CONDITIONS];
        conditions[..2].copy_from_slice(&[Some(("AbleToScale", true)), Some(("Fresh", false))]);
        ScalerSample {
            desired_replicas: Some(4),
            current_replicas: Some(3),
            latency_seconds: None,
            wait_percentile_seconds: None,
            pods: Some((2, 3)),
            conditions,
        }
    }

    /// The samples of a scrape, without names of the metrics in comments.
    fn scrape(metrics: &Arc<ScalerMetrics>) -> Vec<String> {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Arc::clone(metrics)));
        let mut page = String::new();
        prometheus_client::encoding::text::encode(&mut page, &registry).unwrap();
        page.lines()
            .filter(|line| !line.starts_with('#'))
            .map(ToOwned::to_owned)
            .collect()
    }

    #[test]
    fn unknown_values_have_no_series() {
        let metrics = Arc::new(ScalerMetrics::new());
        metrics.set_leader(true);
        metrics.record(&key("a"), sample());
        let labels = "namespace=\"models\",pushscaler=\"a\"";
        assert_eq!(
            scrape(&metrics),
            [
                format!("pods_reporting{{{labels}}} 2"),
                format!("pods_running{{{labels}}} 3"),
                format!("desired_replicas{{{labels}}} 4"),
                format!("current_replicas{{{labels}}} 3"),
                format!("condition_status{{{labels},condition=\"AbleToScale\"}} 1"),
                format!("condition_status{{{labels},condition=\"Fresh\"}} 0"),
            ]
        );
        let sample = ScalerSample {
            latency_seconds: Some(0.25),
            wait_percentile_seconds: Some(0.5),
            ..sample()
        };
        metrics.record(&key("a"), sample);
        let line = format!("latency_seconds{{{labels}}} 0.25");
        assert!(scrape(&metrics).contains(&line));
        let line = format!("wait_percentile_seconds{{{labels}}} 0.5");
        assert!(scrape(&metrics).contains(&line));
    }

    #[test]
    fn a_follower_exports_only_observed_values() {
        let metrics = Arc::new(ScalerMetrics::new());
        metrics.record(&key("a"), sample());
        assert_eq!(scrape(&metrics).len(), 2);
        metrics.set_leader(true);
        assert_eq!(scrape(&metrics).len(), 6);
        metrics.set_leader(false);
        assert!(
            scrape(&metrics)
                .iter()
                .all(|line| line.starts_with("pods_"))
        );
    }

    #[test]
    fn the_number_of_scalers_is_limited_and_deleted_ones_make_room() {
        let metrics = Arc::new(ScalerMetrics::new());
        for number in 0..=MAX_SCALERS {
            metrics.record(&key(number), sample());
        }
        assert_eq!(scrape(&metrics).len(), 2 * MAX_SCALERS);
        metrics.remove(&key(0));
        assert_eq!(scrape(&metrics).len(), 2 * (MAX_SCALERS - 1));
        metrics.record(&key(MAX_SCALERS), sample());
        let last = format!("pushscaler=\"{MAX_SCALERS}\"");
        assert!(scrape(&metrics).iter().any(|line| line.contains(&last)));
    }
}
