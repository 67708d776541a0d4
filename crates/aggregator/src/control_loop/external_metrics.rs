//! Writes decisions to the store behind the external metrics.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use pushscale_decision::{Decision, FleetLoad, Hold, Moment, Outcome};
use pushscale_external_metrics::Sample;
use tokio::time::Instant;

use super::ControlLoop;
use super::managed_scaler::ManagedScaler;
use crate::names::{ScalerKey, TargetRef};

impl ControlLoop {
    /// Adds a PushScaler to the store, or updates its labels.
    pub(super) fn apply_labels(
        &self,
        key: &ScalerKey,
        labels: BTreeMap<String, String>,
        target: &TargetRef,
    ) {
        if let Some(store) = &self.external_metrics {
            let target = format!("{} {target}", target.api_version);
            store.apply(&key.namespace, &key.name, labels, target);
        }
    }

    /// Records the last decision and the load of the pods, if external metrics are served.
    pub(super) fn record_external_metrics(&self, now: Moment, key: &ScalerKey) {
        let Some(store) = &self.external_metrics else {
            return;
        };
        if let Some(sample) = self
            .scalers
            .get(key)
            .and_then(|scaler| scaler.external_sample(now))
        {
            store.record(&key.namespace, &key.name, sample);
        }
    }
}

impl ManagedScaler {
    /// Returns the last decision and the load of the pods; `None` until the target was read. A scaler whose spec was
    /// never valid has measured no pods.
    fn external_sample(&self, now: Moment) -> Option<Sample> {
        let scale = self.replicas.scale()?;
        let engine = self.engine.as_ref();
        let load = engine.map(|engine| engine.load(now)).unwrap_or_default();
        let desired = match (self.spec_problems.first(), &self.last_decision, engine) {
            (Some(problem), ..) => Err(Arc::from(format!("its spec is invalid: {problem}"))),
            (None, Some(decision), Some(engine)) => {
                desired(decision, engine.start_replicas(), &load)
            }
            (None, ..) => Err(Arc::from("nothing has been decided yet")),
        };
        Some(Sample {
            decided: Instant::now(),
            timestamp: Timestamp::now(),
            desired,
            // The last decision may be older: with an invalid spec nothing is decided.
            at_zero: scale.as_ref().is_ok_and(|scale| scale.replicas == 0),
            load,
        })
    }
}

/// Returns the desired replicas of a decision, or why there are none. If nothing was computed, the current replicas are
/// not a recommendation, unless there is nothing to measure yet.
fn desired(decision: &Decision, start_replicas: u32, load: &FleetLoad) -> Result<u32, Arc<str>> {
    match (&decision.outcome, decision.desired()) {
        (Outcome::Hold(Hold::Disabled), _) => Ok(start_replicas),
        (Outcome::Hold(Hold::InsufficientData), Some(current)) if load.running == 0 => Ok(current),
        (Outcome::Hold(hold), _) if *hold != Hold::RightSize => {
            Err(Arc::from(format!("it computes no replicas: {hold}")))
        }
        (_, Some(desired)) => Ok(desired),
        (_, None) => Err(Arc::from("the current replicas are unknown")),
    }
}
