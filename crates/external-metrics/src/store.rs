//! What the control loop last knew about each PushScaler.
//!
//! The control loop writes one sample per decision and never waits for a request: both hold the lock for microseconds.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use parking_lot::RwLock;
use pushscale_decision::FleetLoad;
use tokio::sync::watch;
use tokio::time::Instant;

/// The PushScalers of a namespace by name. A sample is `None` before the first decision.
pub(crate) type Scalers = BTreeMap<String, Scaler>;

/// The newest sample of each PushScaler. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Store(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    namespaces: RwLock<BTreeMap<String, Scalers>>,
    /// Whether all PushScalers are known.
    listed: watch::Sender<bool>,
    /// Incremented with every first sample and every sample of a target at zero replicas, for consumers that start it.
    starts: watch::Sender<u64>,
}

/// A PushScaler and its newest sample.
#[derive(Clone, Debug)]
pub struct Scaler {
    /// `metadata.labels`.
    pub labels: BTreeMap<String, String>,
    /// The scaled object. PushScalers of the same object have the same pods.
    pub target: String,
    /// The newest sample; `None` before the first decision.
    pub sample: Option<Sample>,
}

/// The result of one decision.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// When the decision was made.
    pub decided: Instant,
    /// The same on the wall clock.
    pub timestamp: Timestamp,
    /// The desired replicas, or why there are none.
    pub desired: Result<u32, Arc<str>>,
    /// Whether the target has zero replicas.
    pub at_zero: bool,
    /// The load of the pods.
    pub load: FleetLoad,
}

impl Store {
    /// Adds a PushScaler, or updates its labels. The sample is kept if the target is the same.
    pub fn apply(
        &self,
        namespace: &str,
        name: &str,
        labels: BTreeMap<String, String>,
        target: String,
    ) {
        let mut namespaces = self.0.namespaces.write();
        let scalers = namespaces.entry(namespace.to_owned()).or_default();
        match scalers.get_mut(name) {
            Some(known) if known.target == target => known.labels = labels,
            _ => {
                let scaler = Scaler {
                    labels,
                    target,
                    sample: None,
                };
                scalers.insert(name.to_owned(), scaler);
            }
        }
    }

    /// Replaces the sample of a PushScaler. Unknown PushScalers are ignored.
    pub fn record(&self, namespace: &str, name: &str, sample: Sample) {
        let may_start = {
            let mut namespaces = self.0.namespaces.write();
            let known = namespaces
                .get_mut(namespace)
                .and_then(|scalers| scalers.get_mut(name));
            let Some(scaler) = known else { return };
            let may_start = sample.at_zero || scaler.sample.is_none();
            scaler.sample = Some(sample);
            may_start
        };
        if may_start {
            self.0
                .starts
                .send_modify(|count| *count = count.wrapping_add(1));
        }
    }

    /// Removes a PushScaler.
    pub fn remove(&self, namespace: &str, name: &str) {
        let mut namespaces = self.0.namespaces.write();
        if let Some(scalers) = namespaces.get_mut(namespace) {
            scalers.remove(name);
            if scalers.is_empty() {
                namespaces.remove(namespace);
            }
        }
    }

    /// Returns a PushScaler and its newest sample.
    pub fn get(&self, namespace: &str, name: &str) -> Option<Scaler> {
        self.with_namespace(namespace, |scalers| scalers.get(name).cloned())
    }

    /// Returns a receiver that is notified of the first sample of each PushScaler, and of every sample of one whose
    /// target has zero replicas.
    pub(crate) fn starts(&self) -> watch::Receiver<u64> {
        self.0.starts.subscribe()
    }

    /// Declares that all PushScalers have been listed.
    pub fn set_listed(&self) {
        self.0.listed.send_replace(true);
    }

    /// Returns whether all PushScalers have been listed.
    pub fn is_listed(&self) -> bool {
        *self.0.listed.borrow()
    }

    /// Calls `read` with the PushScalers of a namespace. The control loop waits meanwhile.
    pub(crate) fn with_namespace<T>(&self, namespace: &str, read: impl FnOnce(&Scalers) -> T) -> T {
        static NONE: Scalers = Scalers::new();
        let namespaces = self.0.namespaces.read();
        read(namespaces.get(namespace).unwrap_or(&NONE))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Sample {
        Sample {
            decided: Instant::now(),
            timestamp: Timestamp::UNIX_EPOCH,
            desired: Ok(3),
            at_zero: false,
            load: FleetLoad::default(),
        }
    }

    fn has_sample(store: &Store) -> Option<bool> {
        store.with_namespace("models", |scalers| {
            scalers.get("a").map(|scaler| scaler.sample.is_some())
        })
    }

    #[tokio::test]
    async fn a_sample_belongs_to_one_target() {
        let store = Store::default();
        store.record("models", "a", sample());
        assert_eq!(
            has_sample(&store),
            None,
            "an unknown PushScaler has no sample"
        );
        store.apply("models", "a", BTreeMap::new(), "Deployment/a".to_owned());
        store.record("models", "a", sample());
        let labels = BTreeMap::from([("team".to_owned(), "x".to_owned())]);
        store.apply("models", "a", labels.clone(), "Deployment/a".to_owned());
        assert_eq!(has_sample(&store), Some(true));
        store.with_namespace("models", |scalers| assert_eq!(scalers["a"].labels, labels));
        store.apply("models", "a", labels, "Deployment/b".to_owned());
        assert_eq!(has_sample(&store), Some(false));
        store.remove("models", "a");
        assert_eq!(has_sample(&store), None);
        assert!(store.0.namespaces.read().is_empty());
    }
}
