//! What the writes of a decision and of `onDelete: Restore` have in common.

use tokio::time::Instant;

use crate::leadership::Leadership;
use crate::metrics::{ApiRequest, Metrics};
use crate::names::TargetRef;
use crate::scale_target::{ScaleError, ScaleTarget, Written, api_succeeded};

/// Writes a replica count and measures the request.
pub(super) async fn write_scale(
    scale_target: &dyn ScaleTarget,
    target: &TargetRef,
    uid: Option<&str>,
    from: u32,
    to: u32,
    metrics: &Metrics,
) -> Result<Written, ScaleError> {
    let start = Instant::now();
    let outcome = scale_target.write(target, uid, from, to).await;
    metrics.api_request_ended(ApiRequest::ScaleWrite, start, api_succeeded(&outcome));
    outcome
}

/// Runs a write for the target as the leader of this term.
///
/// # Errors
/// The write failed, or this aggregator does not lead any more.
pub(super) async fn write_as_leader<T>(
    leadership: &Leadership,
    term: u64,
    target: &TargetRef,
    write: impl Future<Output = Result<T, ScaleError>>,
) -> Result<T, ScaleError> {
    leadership.write_in(term, write).await.unwrap_or_else(|| {
        Err(ScaleError::NotLeader {
            target: target.to_string(),
        })
    })
}
