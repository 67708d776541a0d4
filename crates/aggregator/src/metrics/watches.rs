//! The state of the watches.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use tokio::time::Instant;

/// The state of all watches, by the kind of their objects. The kinds of the targets that exist in the cluster bound
/// their number.
#[derive(Clone, Debug, Default)]
pub(super) struct WatchMetrics(Arc<Mutex<BTreeMap<String, WatchState>>>);

#[derive(Clone, Copy, Debug)]
struct WatchState {
    /// Watches of this kind: two API groups may have the same kind.
    watches: usize,
    last_event: Instant,
    restarts: u64,
}

/// The metrics of one watch, whose series exist as long as this does.
#[derive(Debug)]
pub(crate) struct WatchMetric {
    kind: String,
    all: WatchMetrics,
}

impl WatchMetrics {
    pub(super) fn add(&self, kind: &str) -> WatchMetric {
        let new = WatchState {
            watches: 0,
            last_event: Instant::now(),
            restarts: 0,
        };
        let mut states = self.0.lock();
        states.entry(kind.to_owned()).or_insert(new).watches += 1;
        WatchMetric {
            kind: kind.to_owned(),
            all: self.clone(),
        }
    }
}

impl WatchMetric {
    /// The kind of the objects.
    pub(crate) fn kind(&self) -> &str {
        &self.kind
    }

    /// Records a change or a complete list.
    pub(crate) fn event(&self) {
        if let Some(state) = self.all.0.lock().get_mut(&self.kind) {
            state.last_event = Instant::now();
        }
    }

    /// Records that the watch failed, after which it is started again.
    pub(crate) fn restarted(&self) {
        if let Some(state) = self.all.0.lock().get_mut(&self.kind) {
            state.restarts += 1;
        }
    }
}

impl Drop for WatchMetric {
    fn drop(&mut self) {
        let mut states = self.all.0.lock();
        if let Some(state) = states.get_mut(&self.kind) {
            state.watches -= 1;
            if state.watches == 0 {
                states.remove(&self.kind);
            }
        }
    }
}

impl Collector for WatchMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let states = self.0.lock().clone();
        let help = "Time since the last change or complete list of a watch. Objects that do not change have no events";
        let mut family =
            encoder.encode_descriptor("watch_idle_seconds", help, None, MetricType::Gauge)?;
        for (kind, state) in &states {
            let idle = ConstGauge::new(state.last_event.elapsed().as_secs_f64());
            idle.encode(family.encode_family(&[("kind", kind.as_str())])?)?;
        }
        let help = "Failures of a watch, after each of which it is started again";
        let mut family =
            encoder.encode_descriptor("watch_restarts", help, None, MetricType::Counter)?;
        for (kind, state) in &states {
            let restarts = ConstCounter::new(state.restarts);
            restarts.encode(family.encode_family(&[("kind", kind.as_str())])?)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use prometheus_client::registry::Registry;

    use super::*;

    fn scrape(metrics: &WatchMetrics) -> Vec<String> {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(metrics.clone()));
        let mut page = String::new();
        prometheus_client::encoding::text::encode(&mut page, &registry).unwrap();
        let lines = page.lines().filter(|line| !line.starts_with('#'));
        lines.map(ToOwned::to_owned).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_watch_has_series_until_it_ends() {
        let metrics = WatchMetrics::default();
        let pods = metrics.add("Pod");
        tokio::time::advance(Duration::from_secs(5)).await;
        pods.restarted();
        assert_eq!(
            scrape(&metrics),
            [
                "watch_idle_seconds{kind=\"Pod\"} 5.0",
                "watch_restarts_total{kind=\"Pod\"} 1",
            ]
        );
        pods.event();
        let other = metrics.add("Pod");
        assert!(scrape(&metrics).contains(&"watch_idle_seconds{kind=\"Pod\"} 0.0".to_owned()));
        drop(pods);
        assert_eq!(scrape(&metrics).len(), 2);
        drop(other);
        assert!(scrape(&metrics).is_empty());
    }
}
