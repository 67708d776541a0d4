//! What the writes of a decision and of `onDelete: Restore` have in common.

use std::time::Duration;

use backoff::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};
use tokio::time::Instant;

use crate::leadership::Leadership;
use crate::metrics::{ApiRequest, Metrics};
use crate::names::TargetRef;
use crate::scale_target::{ScaleError, ScaleTarget, Written, api_succeeded};

/// Backoff after failed writes. The HPA waits for its next sync, 15 s.
const BACKOFF: ExponentialBuilder = ExponentialBuilder::new()
    .with_min_delay(Duration::from_millis(500))
    .with_max_delay(MAX_BACKOFF)
    .without_max_times()
    .with_jitter();

const MAX_BACKOFF: Duration = Duration::from_secs(15);

/// The backoff of writes that follow each other.
#[derive(Debug, Default)]
pub(super) struct WriteBackoff(Option<ExponentialBackoff>);

impl WriteBackoff {
    /// Returns how long to wait after a failed write.
    pub(super) fn next(&mut self) -> Duration {
        let backoff = self.0.get_or_insert_with(|| BACKOFF.build());
        backoff.next().unwrap_or(MAX_BACKOFF)
    }

    /// Records a successful write.
    pub(super) fn reset(&mut self) {
        self.0 = None;
    }
}

/// Writes a replica count and measures the request.
pub(super) async fn write_scale(
    scale_target: &dyn ScaleTarget,
    target: &TargetRef,
    from: u32,
    to: u32,
    metrics: &Metrics,
) -> Result<Written, ScaleError> {
    let begun = Instant::now();
    let outcome = scale_target.write(target, from, to).await;
    metrics.api_request_ended(ApiRequest::ScaleWrite, begun, api_succeeded(&outcome));
    outcome
}

/// Runs a write for the target as the leader.
///
/// # Errors
/// The write failed, or this aggregator does not lead.
pub(super) async fn write_as_leader<T>(
    leadership: &Leadership,
    target: &TargetRef,
    write: impl Future<Output = Result<T, ScaleError>>,
) -> Result<T, ScaleError> {
    leadership.write(write).await.unwrap_or_else(|| {
        Err(ScaleError::NotLeader {
            target: target.to_string(),
        })
    })
}
