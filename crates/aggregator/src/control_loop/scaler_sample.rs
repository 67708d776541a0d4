//! The figures of a scaler for its metrics.

use pushscale_api::conditions;
use pushscale_api::names::conditions::SCALING_ACTIVE;

use super::ControlLoop;
use super::managed_scaler::ManagedScaler;
use crate::metrics::ScalerSample;
use crate::names::ScalerKey;

impl ControlLoop {
    /// Exports the last decision and the current conditions.
    pub(super) fn record_sample(&self, key: &ScalerKey) {
        if let Some(scaler) = self.scalers.get(key) {
            self.metrics.record_scaler(key, || scaler.sample());
        }
    }
}

impl ManagedScaler {
    fn sample(&self) -> ScalerSample {
        if !self.spec_problems.is_empty() {
            let mut sample = ScalerSample::default();
            sample.conditions[0] = Some((SCALING_ACTIVE, false));
            return sample;
        }
        let (Some(decision), Some(engine)) = (&self.last_decision, &self.engine) else {
            return ScalerSample::default();
        };
        let metric = decision.metrics.iter().max_by_key(|metric| metric.proposed);
        ScalerSample {
            desired_replicas: decision.desired(),
            current_replicas: decision.current,
            latency_seconds: metric.map(|metric| metric.average.as_secs_f64()),
            pods: Some((decision.freshness.fresh, decision.freshness.running())),
            conditions: conditions::by_type(engine.conditions())
                .map(|(name, found)| found.as_ref().map(|condition| (name, condition.status))),
        }
    }
}
