//! Answers the calls of KEDA from the store.

use std::future::ready;
use std::time::Duration;

use futures_util::stream;
use futures_util::{Stream, StreamExt as _};
use tokio::time::{Instant, sleep_until};
use tonic::Status;

use super::messages::{
    GetMetricSpecResponse, GetMetricsRequest, GetMetricsResponse, IsActiveResponse, MetricSpec,
    MetricValue, ScaledObjectRef,
};
use crate::metric::{MetricError, desired};
use crate::store::Store;

/// The metadata of the trigger that names the PushScaler.
const PUSHSCALER: &str = "pushscaler";

/// The desired replicas are never zero.
const ACTIVE: IsActiveResponse = IsActiveResponse { result: true };

/// How often a target with zero replicas is reported.
const REPEAT: Duration = Duration::from_secs(1);

/// The external scaler. Its only metric is the number of desired replicas, with a target of one per replica, so that
/// the HPA that KEDA creates follows it.
#[derive(Clone, Debug)]
pub(crate) struct ExternalScaler(pub(crate) Store);

/// The last decision of a PushScaler.
struct LastDecision {
    /// `None` if the desired replicas are unknown, or too old.
    desired: Option<u32>,
    at_zero: bool,
}

impl ExternalScaler {
    /// Returns whether the target is active: KEDA starts an active one if it has zero replicas, and scales an inactive
    /// one to zero. Inactive are only targets that are at zero anyway and whose desired replicas are unknown.
    ///
    /// # Errors
    /// As [`metrics`](Self::metrics): KEDA does nothing to a target whose trigger fails.
    pub(crate) fn is_active(&self, target: &ScaledObjectRef) -> Result<IsActiveResponse, Status> {
        let LastDecision { desired, at_zero } = self.decision(target)?;
        let result = desired.is_some() || !at_zero;
        Ok(IsActiveResponse { result })
    }

    /// Reports the target as active once its desired replicas are known, and every second while it has zero replicas.
    /// KEDA starts such a target at each report, unless its cache still has the replicas of before: in two of four runs
    /// it ignored the first report, which followed the change at once. Waits for a missing PushScaler, because KEDA
    /// repeats a failed call up to a minute later.
    ///
    /// # Errors
    /// If the trigger names no PushScaler.
    pub(crate) fn stream_is_active(
        &self,
        target: ScaledObjectRef,
    ) -> Result<impl Stream<Item = Result<IsActiveResponse, Status>> + Send + 'static, Status> {
        pushscaler(&target)?;
        let start = (self.clone(), target, self.0.starts(), None::<Instant>);
        Ok(stream::unfold(
            start,
            |(scaler, target, mut starts, reported)| async move {
                if let Some(reported) = reported {
                    sleep_until(reported + REPEAT).await;
                }
                loop {
                    let decision = scaler.decision(&target);
                    let may_start = decision.is_ok_and(|decision| {
                        decision.desired.is_some() && (decision.at_zero || reported.is_none())
                    });
                    if may_start {
                        let reported = Some(Instant::now());
                        return Some((Ok(ACTIVE), (scaler, target, starts, reported)));
                    }
                    starts.changed().await.ok()?;
                }
            },
        ))
    }

    /// Returns the desired replicas, and no value at all while they are unknown.
    ///
    /// KEDA answers its HPA with an error in that case too. An error from here would also make KEDA 2.21 close its
    /// connection, and with it the stream that starts a target at zero replicas: after one "not enough data", a start
    /// took 29 s instead of 1 s.
    ///
    /// # Errors
    /// If the trigger names no PushScaler, or one that does not exist or has not been evaluated yet.
    pub(crate) fn metrics(&self, request: GetMetricsRequest) -> Result<GetMetricsResponse, Status> {
        let target = request.scaled_object_ref.unwrap_or_default();
        let desired = self.decision(&target)?.desired;
        let value = desired.map(|desired| MetricValue {
            metric_name: request.metric_name,
            metric_value: i64::from(desired),
            metric_value_float: f64::from(desired),
        });
        Ok(GetMetricsResponse {
            metric_values: value.into_iter().collect(),
        })
    }

    /// Returns the last decision of the trigger's PushScaler.
    fn decision(&self, target: &ScaledObjectRef) -> Result<LastDecision, Status> {
        let name = pushscaler(target)?;
        if !self.0.is_listed() {
            return Err(Status::unavailable("the PushScalers have not been listed"));
        }
        let (namespace, now) = (&target.namespace, Instant::now());
        self.0.with_namespace(namespace, |scalers| {
            let Some(scaler) = scalers.get(name) else {
                let message = format!("namespace {namespace} has no PushScaler {name}");
                return Err(Status::not_found(message));
            };
            let Some(sample) = &scaler.sample else {
                let error = MetricError::NoSample(name.to_owned());
                return Err(Status::unavailable(error.to_string()));
            };
            Ok(LastDecision {
                desired: desired(name, scalers, now).ok(),
                at_zero: sample.at_zero,
            })
        })
    }
}

/// Returns the name and the target of the metric. They follow from the trigger alone: without them KEDA leaves the
/// metric out of its HPA, or creates none.
///
/// # Errors
/// If the trigger names no PushScaler.
pub(crate) fn metric_spec(target: &ScaledObjectRef) -> Result<GetMetricSpecResponse, Status> {
    let spec = MetricSpec {
        metric_name: format!("{}-desired", pushscaler(target)?),
        target_size: 1,
        target_size_float: 1.0,
    };
    Ok(GetMetricSpecResponse {
        metric_specs: vec![spec],
    })
}

/// Reports the metric at once, and then nothing: it cannot change, because KEDA opens another stream for a changed
/// trigger. The stream never ends, because KEDA would open it again after two seconds and then check its HPA.
///
/// # Errors
/// As [`metric_spec`].
pub(crate) fn stream_metric_spec(
    target: &ScaledObjectRef,
) -> Result<impl Stream<Item = Result<GetMetricSpecResponse, Status>> + Send + use<>, Status> {
    let spec = metric_spec(target)?;
    Ok(stream::once(ready(Ok(spec))).chain(stream::pending()))
}

/// Returns the name of the PushScaler in the metadata of a trigger.
fn pushscaler(target: &ScaledObjectRef) -> Result<&str, Status> {
    let name = target.scaler_metadata.get(PUSHSCALER);
    let name = name.filter(|name| !name.is_empty());
    name.map(String::as_str).ok_or_else(|| {
        let name = &target.name;
        Status::invalid_argument(format!(
            "the trigger of {name} has no pushscaler: add its name to the metadata"
        ))
    })
}
