//! Answers the calls of KEDA from the store.

use futures_util::Stream;
use futures_util::stream;
use tokio::time::Instant;
use tonic::Status;

use super::messages::{
    GetMetricSpecResponse, GetMetricsRequest, GetMetricsResponse, IsActiveResponse, MetricSpec,
    MetricValue, ScaledObjectRef,
};
use crate::metric::{MetricError, desired};
use crate::store::Store;

/// The metadata of the trigger that names the PushScaler.
const PUSHSCALER: &str = "pushscaler";

/// The external scaler. Its only metric is the number of desired replicas, with a target of one per replica, so that
/// the HPA that KEDA creates follows it.
#[derive(Clone, Debug)]
pub(crate) struct ExternalScaler(pub(crate) Store);

impl ExternalScaler {
    /// Returns that the target is active: a PushScaler never wants zero replicas.
    ///
    /// # Errors
    /// If the trigger names no PushScaler, or one that does not exist.
    pub(crate) fn is_active(&self, target: &ScaledObjectRef) -> Result<IsActiveResponse, Status> {
        self.pushscaler(target)?;
        Ok(IsActiveResponse { result: true })
    }

    /// Returns the state at once, and an error when the PushScaler is deleted.
    ///
    /// # Errors
    /// As [`is_active`](Self::is_active).
    pub(crate) fn stream_is_active(
        &self,
        target: ScaledObjectRef,
    ) -> Result<impl Stream<Item = Result<IsActiveResponse, Status>> + Send + 'static, Status> {
        let first = self.is_active(&target)?;
        let mut changes = self.0.changes();
        changes.mark_unchanged();
        let start = Some((self.clone(), target, changes, Some(first)));
        Ok(stream::unfold(start, |state| async {
            let (scaler, target, mut changes, first) = state?;
            if let Some(first) = first {
                return Some((Ok(first), Some((scaler, target, changes, None))));
            }
            loop {
                changes.changed().await.ok()?;
                if let Err(status) = scaler.is_active(&target) {
                    return Some((Err(status), None));
                }
            }
        }))
    }

    /// Returns the name and the target of the metric.
    ///
    /// # Errors
    /// As [`is_active`](Self::is_active).
    pub(crate) fn metric_spec(
        &self,
        target: &ScaledObjectRef,
    ) -> Result<GetMetricSpecResponse, Status> {
        let metric_name = format!("{}-desired", self.pushscaler(target)?);
        let spec = MetricSpec {
            metric_name,
            target_size: 1,
            target_size_float: 1.0,
        };
        Ok(GetMetricSpecResponse {
            metric_specs: vec![spec],
        })
    }

    /// Returns the desired replicas.
    ///
    /// # Errors
    /// As [`is_active`](Self::is_active), and if the value is unknown.
    pub(crate) fn metrics(&self, request: GetMetricsRequest) -> Result<GetMetricsResponse, Status> {
        let target = request.scaled_object_ref.unwrap_or_default();
        let name = self.pushscaler(&target)?;
        let now = Instant::now();
        let desired = self
            .0
            .with_namespace(&target.namespace, |scalers| desired(name, scalers, now))
            .map_err(|error| status(&error))?;
        let value = MetricValue {
            metric_name: request.metric_name,
            metric_value: i64::from(desired),
            metric_value_float: f64::from(desired),
        };
        Ok(GetMetricsResponse {
            metric_values: vec![value],
        })
    }

    /// Returns the name of the PushScaler, which exists.
    fn pushscaler<'a>(&self, target: &'a ScaledObjectRef) -> Result<&'a str, Status> {
        let name = target.scaler_metadata.get(PUSHSCALER).ok_or_else(|| {
            let name = &target.name;
            let message =
                format!("the trigger of {name} has no pushscaler: add its name to the metadata");
            Status::invalid_argument(message)
        })?;
        if !self.0.is_listed() {
            return Err(Status::unavailable("the PushScalers have not been listed"));
        }
        let namespace = &target.namespace;
        let exists = self
            .0
            .with_namespace(namespace, |scalers| scalers.contains_key(name));
        if !exists {
            let message = format!("namespace {namespace} has no PushScaler {name}");
            return Err(Status::not_found(message));
        }
        Ok(name)
    }
}

fn status(error: &MetricError) -> Status {
    Status::unavailable(error.to_string())
}
