//! The figures of a scaler: for its metrics, for the external metrics, and for the pages.

use std::sync::Arc;

use pushscale_api::conditions;
use pushscale_api::names::conditions::SCALING_ACTIVE;
use pushscale_decision::{Decision, FleetLoad, Hold, Moment, Outcome};
use pushscale_external_metrics::Sample;

use super::ManagedScaler;
use crate::control_loop::effect::Context;
use crate::metrics::ScalerSample;
use crate::view::ScalerView;

impl ManagedScaler {
    /// Returns the last decision and the current conditions.
    pub(crate) fn sample(&self) -> ScalerSample {
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
            wait_percentile_seconds: metric
                .and_then(|metric| Some(metric.percentile?.as_secs_f64())),
            pods: Some((decision.freshness.fresh, decision.freshness.running())),
            conditions: conditions::by_type(engine.conditions())
                .map(|(name, found)| found.as_ref().map(|condition| (name, condition.status))),
        }
    }

    /// Returns the last decision and the load of the pods; `None` until the target was read. A scaler whose spec was
    /// never valid has measured no pods.
    pub(crate) fn external_sample(&self, context: &Context) -> Option<Sample> {
        let scale = self.replicas.scale()?;
        let engine = self.engine.as_ref();
        let load = engine.map(|engine| engine.load(context.now));
        let load = load.unwrap_or_default();
        let desired = match (self.spec_problems.first(), &self.last_decision, engine) {
            (Some(problem), ..) => Err(Arc::from(format!("its spec is invalid: {problem}"))),
            (None, Some(decision), Some(engine)) => {
                desired(decision, engine.start_replicas(), &load)
            }
            (None, ..) => Err(Arc::from("nothing has been decided yet")),
        };
        Some(Sample {
            decided: context.instant,
            timestamp: context.clock,
            desired,
            // The last decision may be older: with an invalid spec nothing is decided.
            at_zero: scale.as_ref().is_ok_and(|scale| scale.replicas == 0),
            load,
        })
    }

    pub(crate) fn view(&self, now: Moment) -> ScalerView {
        let start_delay = self.engine.as_ref().and_then(|engine| engine.start_delay());
        ScalerView::new(
            &self.key,
            &self.target,
            now,
            self.last_decision.as_deref(),
            start_delay,
            self.published.last(),
            self.spec_problems(),
        )
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
