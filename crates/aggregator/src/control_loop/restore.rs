//! `onDelete: Restore`: writes the replica count back before the deletion.

use super::scale_write::write_scale;
use crate::event::Restore;
use crate::metrics::Metrics;
use crate::names::TargetRef;
use crate::scale_target::{ScaleError, ScaleTarget, Written};

/// Writes the replica count back. A target that is gone, or that someone has set to 0, is left alone.
pub(super) async fn restore(
    scale_target: &dyn ScaleTarget,
    target: &TargetRef,
    replicas: u32,
    metrics: &Metrics,
) -> Result<Restore, ScaleError> {
    let scale = match scale_target.read(target).await {
        Ok(scale) => scale,
        Err(error) if error.is_gone() => return Ok(Restore::NothingToRestore),
        Err(error) => return Err(error),
    };
    let (uid, current) = (scale.uid.as_deref(), scale.replicas);
    if current == replicas || current == 0 {
        return Ok(Restore::NothingToRestore);
    }
    match write_scale(scale_target, target, uid, current, replicas, metrics).await {
        Ok(Written::Done(_)) => Ok(Restore::Written(replicas)),
        Ok(Written::Conflict(scale)) => Err(ScaleError::Other {
            target: target.to_string(),
            message: format!(
                "another client changed the replicas from {current} to {}",
                scale.replicas
            ),
        }),
        Err(error) if error.is_gone() => Ok(Restore::NothingToRestore),
        Err(error) => Err(error),
    }
}
